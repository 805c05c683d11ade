// Small test pictures: a disc that comes out of noise as the drawing goes on. Written as PNG with texts, without any
// package; only tests and development use it.
import zlib from 'node:zlib';

const table = Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
  return c >>> 0;
});
const crc = (data) => {
  let c = 0xffffffff;
  for (const byte of data) c = table[(c ^ byte) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
};

function chunk(kind, data) {
  const body = Buffer.concat([Buffer.from(kind, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc(body), body.length + 4);
  return framed;
}

// A text as tEXt where it is ASCII, else as iTXt, compressed or not.
export function textChunk(keyword, text, { compressed = false } = {}) {
  if (/^[\x00-\x7f]*$/.test(text) && !compressed) {
    return chunk('tEXt', Buffer.concat([Buffer.from(`${keyword}\0`), Buffer.from(text)]));
  }
  const data = compressed ? zlib.deflateSync(Buffer.from(text)) : Buffer.from(text);
  return chunk(
    'iTXt',
    Buffer.concat([Buffer.from(`${keyword}\0${compressed ? '\x01' : '\0'}\0\0\0`, 'latin1'), data]),
  );
}

// rgb: width * height * 3 bytes. texts: {keyword: text}.
export function pngOf(width, height, rgb, texts = {}, options = {}) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0; y < height; y++)
    rgb.copy(rows, y * (1 + width * 3) + 1, y * width * 3, (y + 1) * width * 3);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk('IHDR', header),
    ...Object.entries(texts).map(([keyword, text]) => textChunk(keyword, text, options)),
    chunk('IDAT', zlib.deflateSync(rows)),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

export function sizeOfPng(bytes) {
  const isPng = bytes.length > 24 && bytes.toString('latin1', 1, 4) === 'PNG';
  return isPng ? { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) } : null;
}

// Numbers in 0 to 1 out of a seed (mulberry32).
function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

function hue(turn, light) {
  const part = (shift) => Math.round(255 * (light + 0.32 * Math.cos(2 * Math.PI * (turn + shift))));
  return [part(0), part(0.67), part(0.33)].map((value) => Math.min(255, Math.max(0, value)));
}

// The picture of a seed with this share of noise, 1 to 0.
export function testPicture(width, height, seed, noise = 0) {
  const random = randomOf(seed * 7919 + 13);
  const turn = random();
  const [ground, disc] = [hue(turn, 0.82), hue(turn + 0.45, 0.5)];
  const [cx, cy, radius] = [0.35 + 0.3 * random(), 0.38 + 0.24 * random(), 0.2 + 0.14 * random()];
  const side = Math.min(width, height);
  const rgb = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const far = Math.hypot(x - cx * width, y - cy * height) / side;
      const inside = Math.min(1, Math.max(0, (radius - far) * 40 + 0.5));
      const shade = 1 + 0.35 * ((cx * width - x + cy * height - y) / side);
      for (let c = 0; c < 3; c++) {
        const plain = ground[c] * (1 - 0.12 * (y / height)) * (1 - inside) + disc[c] * shade * inside;
        rgb[(y * width + x) * 3 + c] = Math.min(
          255,
          Math.max(0, plain * (1 - noise) + 255 * random() * noise),
        );
      }
    }
  }
  return rgb;
}

// White where neighbours differ: what a control picture looks like.
export function testEdges(width, height, seed) {
  const rgb = testPicture(width, height, seed);
  const edges = Buffer.alloc(rgb.length);
  for (let i = 3; i + width * 3 < rgb.length; i += 3) {
    const step = Math.abs(rgb[i] - rgb[i - 3]) + Math.abs(rgb[i] - rgb[i + width * 3]);
    if (step > 24) edges.fill(255, i, i + 3);
  }
  return edges;
}
