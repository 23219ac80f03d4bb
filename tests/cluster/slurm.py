"""A SLURM of one node on this machine: munge, slurmctld and slurmd, with a GPU that is none.

    python tests/cluster/slurm.py FOLDER [COMMAND …]

starts it in a folder, runs the command (default: a shell) and stops it. Needs root, and the Debian
packages in PACKAGES, which `install` gets. It uses the loopback interface alone, and stops only
processes that it has started, by their ids.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PACKAGES = ["slurmctld", "slurmd", "slurm-client", "munge"]
PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch"]
CONFIGURATION = Path("/etc/slurm/slurm.conf")
PATIENCE_S = 30.0


class Unavailable(Exception):  # noqa: N818 - it is no fault
    """SLURM cannot be had here; the text says why."""


def require(*, install: bool) -> None:
    """Make sure that SLURM's programs are here.

    Raises:
        Unavailable: they are not, and were not to be or could not be installed; or the place of
            this SLURM's configuration is taken by a real one.
    """
    if os.geteuid():
        raise Unavailable("starting SLURM's daemons needs root")
    if CONFIGURATION.exists() and not CONFIGURATION.is_symlink():
        raise Unavailable(f"{CONFIGURATION} is there: this machine has a SLURM of its own")
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", 16817)) == 0:
            raise Unavailable("another SLURM for tests is running on this machine")
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        if not install:
            raise Unavailable(f"{', '.join(missing)}: not installed (make test-cluster does)")
        apt_install(*PACKAGES)


def apt_install(*packages: str) -> None:
    """Raises Unavailable with apt's last words."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    # Services are not to be started on installation: ours are started by hand.
    policy = Path("/usr/sbin/policy-rc.d")
    own_policy = not policy.exists()
    if own_policy:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        for arguments in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
            command = ["apt-get", "--quiet", "--quiet", *arguments]
            done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True)
            if done.returncode:
                raise Unavailable(f"apt-get {arguments[0]}: {done.stderr.strip()[-300:]}")
    finally:
        if own_policy:
            policy.unlink()


class Slurm:
    """A cluster of one node, as long as it is not stopped."""

    def __init__(
        self,
        folder: Path,
        *,
        lines: str = "",
        before: Callable[["Slurm"], None] | None = None,
    ):
        """`lines`: more of slurm.conf; `before`: called when munge is up, slurmctld not yet."""
        self.folder = folder
        self.host = socket.gethostname().partition(".")[0]
        self.processes: dict[str, subprocess.Popen] = {}
        self._lines = lines.format(folder=folder)
        self._before = before
        for name in ("run", "log", "state", "spool", "dev"):
            (folder / name).mkdir(parents=True)
        self._write_configuration()

    def start(self) -> None:
        """Raises RuntimeError with the last lines of the log of what does not start."""
        CONFIGURATION.parent.mkdir(exist_ok=True)
        CONFIGURATION.unlink(missing_ok=True)  # `require` has seen that it is only a link
        CONFIGURATION.symlink_to(self.folder / "slurm.conf")
        f = self.folder
        key = f / "run" / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        for name in (f, f / "run", f / "log"):
            name.chmod(0o755)
        self.run(
            *("munged", "--foreground", "--force", "--num-threads=2"),
            *(f"--key-file={key}", f"--socket={f}/run/munge.socket"),
            *(f"--pid-file={f}/run/munged.pid", f"--log-file={f}/log/munged.log"),
            f"--seed-file={f}/run/munge.seed",
        )
        self.until(lambda: (f / "run" / "munge.socket").exists(), "munged")
        if self._before:
            self._before(self)
        self.run("slurmctld", "-D", "-f", f"{self.folder}/slurm.conf")
        self.run("slurmd", "-D", "-f", f"{self.folder}/slurm.conf", "-N", self.host)
        self.until(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"), "slurmctld")

    def stop(self) -> None:
        """End the jobs, then the daemons."""
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            self.ask("scancel", f"--user={os.geteuid()}")
            self.until(lambda: not self.ask("squeue", "--noheader"), "scancel")
        for name in ("slurmd", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self.end(name)
        CONFIGURATION.unlink(missing_ok=True)

    def end(self, name: str) -> None:
        if process := self.processes.pop(name, None):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def ask(self, *command: str) -> str:
        """What a command of SLURM's prints."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        return done.stdout.strip()

    def jobs(self) -> dict[str, str]:
        """State by job id, of ended ones too."""
        lines = self.ask("squeue", "--noheader", "--states=all", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def detail(self, job: str) -> dict[str, str]:
        """`scontrol show job`."""
        words = self.ask("scontrol", "show", "job", job, "--oneliner").split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def run(self, *command: str, environment: dict[str, str] | None = None) -> None:
        """Start a daemon, to be ended by :meth:`stop`."""
        with (self.folder / "log" / f"{command[0]}.out").open("wb") as log:
            self.processes[command[0]] = subprocess.Popen(
                command,
                **{"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log},
                env=environment,
                start_new_session=True,
            )

    def until(self, true: Callable[[], object], name: str) -> None:
        """Wait for a daemon to do something; raises RuntimeError with its log if it does not."""
        end = time.time() + PATIENCE_S
        while not true():
            if time.time() > end:
                logs = sorted((self.folder / "log").glob(f"{name}.*"))
                words = "\n".join(log.read_text(errors="replace")[-1500:] for log in logs)
                raise RuntimeError(f"{name} has not done it in {PATIENCE_S:.0f} s:\n{words}")
            time.sleep(0.1)

    def _write_configuration(self) -> None:
        f, host = self.folder, self.host
        cgroups = Path("/sys/fs/cgroup/memory").is_dir() and Path("/sys/fs/cgroup/freezer").is_dir()
        confinement = (
            "ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup\n"
            "JobAcctGatherType=jobacct_gather/cgroup\n"
            if cgroups
            else "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n"
            "JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherParams=OverMemoryKill\n"
        )
        (f / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={f}/run/munge.socket,cred_expire=5
SlurmctldPort=16817
SlurmdPort=16818
SlurmctldPidFile={f}/run/slurmctld.pid
SlurmdPidFile={f}/run/slurmd.pid
SlurmctldLogFile={f}/log/slurmctld.log
SlurmdLogFile={f}/log/slurmd.log
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={f}/state
SlurmdSpoolDir={f}/spool
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
EnforcePartLimits=ALL
MinJobAge=3600
KillWait=2
MpiDefault=none
JobAcctGatherFrequency=1
GresTypes=gpu
{confinement}{self._lines}
NodeName={host} NodeAddr=127.0.0.1 NodeHostname={host} CPUs=4 RealMemory=20000 Gres=gpu:1
PartitionName=debug Nodes={host} Default=YES MaxTime=1-00:00:00 DefMemPerCPU=500 State=UP
"""
        )
        (f / "gres.conf").write_text(f"NodeName={host} Name=gpu File={f}/dev/gpu0\n")
        (f / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupMountpoint=/sys/fs/cgroup\nCgroupAutomount=no\n"
            "ConstrainRAMSpace=yes\n"
        )
        device = f / "dev" / "gpu0"
        os.mknod(device, 0o666 | 0o020000, os.makedev(1, 3))  # /dev/null's


@contextlib.contextmanager
def running(folder: Path, **options: Any) -> Iterator[Slurm]:
    """A SLURM that is stopped at the end, whatever happens."""
    slurm = Slurm(folder, **options)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


if __name__ == "__main__":
    try:
        require(install=True)
    except Unavailable as error:
        sys.exit(str(error))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running(Path(sys.argv[1]).resolve()):
        code = subprocess.run(sys.argv[2:] or [os.environ.get("SHELL", "/bin/sh")]).returncode
    sys.exit(code)
