/** Starts the page: renders it after every change, and follows the address. */

import { render } from "./vendor/lit-html/lit-html.js";
import { followAddress, refresh, start } from "./actions.js";
import { drawAgain } from "./drawing.js";
import { page } from "./page.js";
import { onChange, set } from "./state.js";

const root = document.getElementById("page");
root.replaceChildren();
onChange(() => render(page(), root));
set({});

addEventListener("hashchange", followAddress);
addEventListener("focus", refresh);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  drawAgain();
  set({});
});
start();
