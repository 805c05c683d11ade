// Builds the page as one file: scripts and styles are put into dist/index.html, which asks for nothing else.
import { defineConfig, type Plugin } from 'vite';

// Replaces the references to the built script and style by their text. `</` inside a script would end it.
function oneFile(): Plugin {
  return {
    name: 'one-file',
    enforce: 'post',
    generateBundle(_options, bundle) {
      const page = bundle['index.html'];
      if (page?.type !== 'asset') throw new Error('the build has no index.html');
      let html = String(page.source);
      for (const [name, part] of Object.entries(bundle)) {
        if (name === 'index.html') continue;
        if (part.type === 'chunk') {
          const code = part.code.replaceAll('</script', '<\\/script').trim();
          html = html.replace(scriptTag(name), () => `<script type="module">${code}</script>`);
        } else {
          html = html.replace(styleTag(name), () => `<style>${String(part.source).trim()}</style>`);
        }
        delete bundle[name];
      }
      page.source = html;
    },
  };
}

const escaped = (name: string) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const scriptTag = (name: string) => new RegExp(`<script[^>]*src="[^"]*${escaped(name)}"[^>]*></script>`);
const styleTag = (name: string) => new RegExp(`<link[^>]*href="[^"]*${escaped(name)}"[^>]*>`);

export default defineConfig({
  base: './',
  plugins: [oneFile()],
  build: {
    target: 'es2022',
    cssCodeSplit: false,
    assetsInlineLimit: 1 << 20,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
