/** Recordings: a player and the waveform. */

const RATE = 16_000;
const BINS = 600;

export const audio = {
  accept: "audio/*",
  inWindows: true,
  async show({ file }) {
    const url = URL.createObjectURL(file);
    // An offline context decodes without asking for permission to make a sound.
    const context = new OfflineAudioContext(1, 1, RATE);
    const sound = await context.decodeAudioData(await file.arrayBuffer()).catch(() => null);
    return { kind: "audio", url, seconds: sound?.duration, peaks: sound && peaks(sound.getChannelData(0)) };
  },
};

/** [lowest, highest] sample of each of BINS parts. */
function peaks(samples) {
  return Array.from({ length: BINS }, (_, i) => {
    const part = samples.subarray((i * samples.length) / BINS, ((i + 1) * samples.length) / BINS);
    return [part.reduce((a, b) => Math.min(a, b), 0), part.reduce((a, b) => Math.max(a, b), 0)];
  });
}
