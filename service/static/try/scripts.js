/** Classic scripts among the vendored libraries, loaded once, when they are needed. */

const loading = new Map();

/** Load a file of vendor/; the libraries put themselves into the global scope. */
export function script(path) {
  if (!loading.has(path)) loading.set(path, load(path));
  return loading.get(path);
}

function load(path) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = new URL(`./vendor/${path}`, import.meta.url).href;
    element.addEventListener("load", resolve);
    element.addEventListener("error", () => reject(new Error(`${path} cannot be loaded`)));
    document.head.append(element);
  });
}
