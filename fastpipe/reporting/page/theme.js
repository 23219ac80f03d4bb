// Before anything is drawn: a theme asked for in the address (?theme=dark), else the one chosen
// last time, else the system's.
(() => {
  "use strict";
  const asked = new URLSearchParams(location.search).get("theme");
  let chosen = null;
  try { chosen = localStorage.getItem("fastpipe-theme"); } catch { /* storage may be forbidden */ }
  const theme = asked ?? chosen;
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
