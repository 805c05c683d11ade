// The text `parameters` of A1111's web UI: prompt, "Negative prompt: ...", and a last line "Steps: 20, Sampler: ...".
// What the names mean: modules/infotext_utils.py of AUTOMATIC1111/stable-diffusion-webui.

export interface Infotext {
  prompt: string;
  negative: string;
  settings: Map<string, string>;
}

// `key: value` with a comma behind it; a value with commas stands in quotation marks.
const kPair = /\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)/g;
const kFewestPairs = 3; // a last line with fewer is a part of the prompt

export function parsedInfotext(text: string): Infotext {
  const lines = text.replaceAll('\r\n', '\n').split('\n');
  let settings = new Map<string, string>();
  const last = pairsOf(lines.at(-1) ?? '');
  if (last.size >= kFewestPairs) {
    settings = last;
    lines.pop();
  }
  const at = lines.findIndex((line) => line.startsWith('Negative prompt:'));
  const prompt = at < 0 ? lines : lines.slice(0, at);
  const negative = at < 0 ? [] : lines.slice(at);
  return {
    prompt: prompt.join('\n').trim(),
    negative: negative.join('\n').replace('Negative prompt:', '').trim(),
    settings,
  };
}

function pairsOf(line: string): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const [, key, value] of line.matchAll(kPair)) pairs.set(key!, unquoted(value!.trim()));
  return pairs;
}

function unquoted(value: string): string {
  if (!value.startsWith('"')) return value;
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}

// <lora:NAME:WEIGHT> tags, and the prompt without them.
export function lorasOf(prompt: string): { prompt: string; loras: { name: string; weight: number }[] } {
  const loras: { name: string; weight: number }[] = [];
  const rest = prompt.replace(
    /<lora:([^:>]+)(?::([^:>]+))?[^>]*>/g,
    (_tag, name: string, weight?: string) => {
      const number = Number(weight ?? '1');
      loras.push({ name, weight: Number.isFinite(number) ? number : 1 });
      return '';
    },
  );
  return {
    prompt: rest
      .replace(/[ \t]{2,}/g, ' ')
      .replace(/[\s,]+$/, '')
      .trim(),
    loras,
  };
}
