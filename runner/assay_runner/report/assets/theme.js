// Light, dark, or as the system has it. Storage may be refused to a file that was opened from a disk.
const remembered = {
  get() { try { return localStorage.getItem("assay-theme"); } catch { return null; } },
  set(theme) { try { localStorage.setItem("assay-theme", theme); } catch { /* not remembered */ } },
};
const themes = { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" };
const themeButton = document.getElementById("theme");

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  themeButton.textContent = themes[theme];
}

let theme = remembered.get();
if (!Object.hasOwn(themes, theme ?? "")) theme = "auto";
setTheme(theme);
themeButton.hidden = false;
themeButton.addEventListener("click", () => {
  const names = Object.keys(themes);
  theme = names[(names.indexOf(theme) + 1) % names.length];
  setTheme(theme);
  remembered.set(theme);
});
