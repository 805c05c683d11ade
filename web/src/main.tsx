// Starts the page: loads what the server is, what the browser keeps, and the jobs that go on.
import { render } from 'preact';
import { App } from './app';
import { startPage } from './state/start';
import './styles/tokens.css';
import './styles/base.css';
import './styles/controls.css';
import './styles/layout.css';
import './styles/stage.css';
import './styles/gallery.css';
import './styles/coop.css';
import './styles/dialogs.css';

render(<App />, document.getElementById('app')!);
void startPage();
