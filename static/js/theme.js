// Sets light or dark before the first paint. The choice is "light", "dark" or "auto" (as the system has it).
(() => {
  "use strict";
  const KEY = "portal-theme";
  const system = window.matchMedia("(prefers-color-scheme: dark)");

  const stored = () => {
    try {
      return localStorage.getItem(KEY) || "auto";
    } catch {
      return "auto";
    }
  };

  const apply = () => {
    const choice = stored();
    const theme = choice === "auto" ? (system.matches ? "dark" : "light") : choice;
    document.documentElement.dataset.bsTheme = theme;
    document.documentElement.classList.add("js");
  };

  window.portalTheme = {
    choice: stored,
    choose(choice) {
      try {
        localStorage.setItem(KEY, choice);
      } catch {
        // Without storage the choice holds for this page only.
      }
      apply();
    },
  };

  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  apply();
})();
