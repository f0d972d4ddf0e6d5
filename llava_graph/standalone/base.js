"use strict";
{
  const $ = (id) => document.getElementById(id);
  $("theme").addEventListener("click", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  const large = $("large");
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".zoom");
    if (button) {
      const image = button.querySelector("img");
      large.querySelector("img").src = image.src;
      large.querySelector("img").alt = image.alt;
      large.showModal();
    } else if (event.target === large || event.target === large.querySelector("img")) {
      large.close();
    }
  });
}
