// The texts inside of a PNG: chunks tEXt, zTXt and iTXt (PNG specification, third edition, 11.3.3). Pixels are not
// read, and no checksum is: a damaged text is the reader's to refuse.

const kSignature = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const kMostText = 16 << 20; // bytes of one text after it was unpacked

export function isPng(bytes: Uint8Array): boolean {
  return kSignature.every((byte, i) => bytes[i] === byte);
}

// Keyword -> text. What is no PNG, or is cut off, has the texts up to there.
export async function pngTexts(bytes: Uint8Array): Promise<Map<string, string>> {
  const texts = new Map<string, string>();
  if (!isPng(bytes)) return texts;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = kSignature.length;
  while (at + 12 <= bytes.length) {
    const size = view.getUint32(at);
    const kind = latin1(bytes.subarray(at + 4, at + 8));
    if (at + 12 + size > bytes.length || kind === 'IEND') break;
    if (kind === 'tEXt' || kind === 'zTXt' || kind === 'iTXt') {
      const text = await textOf(kind, bytes.subarray(at + 8, at + 8 + size));
      if (text) texts.set(text[0], text[1]);
    }
    at += 12 + size;
  }
  return texts;
}

async function textOf(kind: string, data: Uint8Array): Promise<[string, string] | null> {
  const [keyword, rest] = splitAtZero(data);
  if (!rest) return null;
  const name = latin1(keyword);
  if (kind === 'tEXt') return [name, utf8OrLatin1(rest)];
  if (kind === 'zTXt') {
    const unpacked = await inflated(rest.subarray(1));
    return unpacked && [name, utf8OrLatin1(unpacked)];
  }
  // iTXt: compression flag, compression method, language, translated keyword, text.
  const [, behindLanguage] = splitAtZero(rest.subarray(2));
  const [, text] = splitAtZero(behindLanguage ?? new Uint8Array());
  if (!text) return null;
  const plain = rest[0] === 1 ? await inflated(text) : text;
  return plain && [name, new TextDecoder().decode(plain)];
}

function splitAtZero(data: Uint8Array): [Uint8Array, Uint8Array | null] {
  const zero = data.indexOf(0);
  return zero < 0 ? [data, null] : [data.subarray(0, zero), data.subarray(zero + 1)];
}

async function inflated(data: Uint8Array): Promise<Uint8Array | null> {
  const reader = new Blob([data as BlobPart])
    .stream()
    .pipeThrough(new DecompressionStream('deflate'))
    .getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size > kMostText) return null;
      parts.push(value);
    }
  } catch {
    return null;
  }
  const whole = new Uint8Array(size);
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}

const latin1 = (data: Uint8Array) => Array.from(data, (byte) => String.fromCharCode(byte)).join('');

// The specification says Latin-1; most programs write UTF-8 into tEXt all the same.
function utf8OrLatin1(data: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(data);
  } catch {
    return latin1(data);
  }
}
