/** Clips: in the browser's player, or as a picture that moves. */

export const video = {
  accept: "video/*,image/gif",
  async show({ file }) {
    const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
    const gif = String.fromCharCode(...head) === "GIF8";
    return { kind: gif ? "moving" : "video", url: URL.createObjectURL(file) };
  },
};
