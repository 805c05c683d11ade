// Serves the built page over the mock server, to look at it: node mock/serve.mjs [PORT]
import { readFile } from 'node:fs/promises';
import { startMock } from './server.mjs';

const page = () => readFile(new URL('../dist/index.html', import.meta.url));
const { url } = await startMock({ page, port: Number(process.argv[2] ?? 7861), stepMs: 150 });
console.log(url);
