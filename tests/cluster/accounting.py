"""SLURM's accounting: a MariaDB and slurmdbd in the folder of a test's SLURM."""

import os
import shutil
import subprocess
from pathlib import Path

PACKAGES = ["slurmdbd", "mariadb-server"]

CONFIGURATION = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=16819
AccountingStoragePass={folder}/run/munge.socket
AccountingStorageEnforce=associations
"""
"""Lines of slurm.conf. A job needs an account that its user may use."""

_DBD = """AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort=16819
SlurmUser=root
PidFile={folder}/run/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=16820
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""

_SETUP = (
    "CREATE DATABASE slurm; CREATE USER 'slurm'@'%' IDENTIFIED BY 'slurm'; "
    "GRANT ALL ON slurm.* TO 'slurm'@'%';"
)


def installed() -> bool:
    return all(map(shutil.which, ("slurmdbd", "mariadbd", "sacctmgr")))


def start(slurm, account: str) -> None:
    """Start the database and slurmdbd, before slurmctld; and an account that root may use."""
    folder: Path = slurm.folder
    data, socket = folder / "database", folder / "run" / "mariadb.socket"
    subprocess.run(
        [
            "mariadb-install-db",
            "--no-defaults",
            "--user=root",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ],
        check=True,
        capture_output=True,
    )
    slurm.run(
        *("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={socket}"),
        *("--bind-address=127.0.0.1", "--port=16820", "--skip-log-bin", "--skip-name-resolve"),
        f"--pid-file={folder}/run/mariadb.pid",
    )
    slurm.until(socket.exists, "mariadbd")
    client = ["mariadb", "--no-defaults", f"--socket={socket}", "--user=root"]
    subprocess.run([*client, f"--execute={_SETUP}"], check=True, capture_output=True)
    conf = folder / "slurmdbd.conf"
    conf.write_text(_DBD.format(folder=folder, host=slurm.host))
    conf.chmod(0o600)
    # slurmdbd reads its configuration from beside slurm.conf.
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    slurm.run("slurmdbd", "-D", environment=environment)
    slurm.until(lambda: "Cluster" in slurm.ask("sacctmgr", "show", "cluster"), "slurmdbd")
    for what in (
        ["cluster", "test"],
        ["account", account, "cluster=test"],
        ["user", "root", f"account={account}", "cluster=test"],
    ):
        slurm.ask("sacctmgr", "--immediate", "add", *what)
