// A mask painted over a picture: by mouse, pen or finger; Ctrl+Z takes a stroke back.
import { useEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { t } from '../i18n';
import { drawStrokes, maskPng, painted, redone, type Stroke, undone } from '../lib/strokes';
import { masking, type MaskTask } from '../state/masking';
import { Choice, IconButton, Slider } from './controls';
import { Dialog } from './dialog';

export function MaskDialog(task: MaskTask) {
  const { width, height } = task;
  const canvas = useRef<HTMLCanvasElement>(null);
  const painting = useSignal({ strokes: task.strokes, undone: [] as Stroke[] });
  const current = useRef<Stroke | null>(null);
  const brush = useSignal(Math.round(Math.max(width, height) / 10));
  const tool = useSignal<'paint' | 'erase'>('paint');

  const redraw = () => {
    const context = canvas.current?.getContext('2d');
    if (!context) return;
    context.clearRect(0, 0, width, height);
    drawStrokes(
      context,
      [...painting.value.strokes, ...(current.current ? [current.current] : [])],
      task.colour,
    );
  };
  useEffect(redraw, [painting.value]);

  const point = (event: PointerEvent) => {
    const box = canvas.current!.getBoundingClientRect();
    return {
      x: Math.round(((event.clientX - box.left) * width) / box.width),
      y: Math.round(((event.clientY - box.top) * height) / box.height),
    };
  };
  const begin = (event: PointerEvent) => {
    event.preventDefault();
    canvas.current!.setPointerCapture(event.pointerId);
    current.current = { points: [point(event)], width: brush.value, erase: tool.value === 'erase' };
    redraw();
  };
  const go = (event: PointerEvent) => {
    if (!current.current) return;
    // A fast stroke has more points than there are events.
    const events = event.getCoalescedEvents?.() ?? [];
    current.current.points.push(...(events.length ? events : [event]).map(point));
    redraw();
  };
  const end = () => {
    if (!current.current) return;
    painting.value = painted(painting.value, current.current);
    current.current = null;
  };
  const undo = () => (painting.value = undone(painting.value));
  const redo = () => (painting.value = redone(painting.value));
  const keys = (event: KeyboardEvent) => {
    if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z') return;
    event.preventDefault();
    event.shiftKey ? redo() : undo();
  };
  const close = () => (masking.value = null);
  const finish = async () => {
    const { strokes } = painting.value;
    const blob = strokes.some((stroke) => !stroke.erase) ? await maskPng(strokes, width, height) : null;
    close();
    task.done(blob, strokes);
  };

  return (
    <Dialog title={task.title} wide onClose={close}>
      <div class="mask" onKeyDown={keys}>
        <div class="mask-tools">
          <Choice
            label={t('mask.tool')}
            value={tool.value}
            options={[
              { value: 'paint', text: t('mask.brush') },
              { value: 'erase', text: t('mask.erase') },
            ]}
            onChange={(next) => (tool.value = next)}
          />
          <Slider
            label={t('mask.size')}
            value={brush.value}
            min={2}
            max={Math.round(Math.max(width, height) / 2)}
            step={1}
            onInput={(size) => (brush.value = Math.max(1, size))}
          />
          <IconButton
            icon="undo"
            label={t('undo')}
            onClick={undo}
            disabled={!painting.value.strokes.length}
          />
          <IconButton icon="redo" label={t('redo')} onClick={redo} disabled={!painting.value.undone.length} />
          <IconButton
            icon="trash"
            label={t('mask.clear')}
            onClick={() => (painting.value = { strokes: [], undone: [] })}
          />
        </div>
        <div class="mask-canvas" style={{ '--ratio': width / height }}>
          {task.background && <img src={task.background} alt="" draggable={false} />}
          <canvas
            ref={canvas}
            width={width}
            height={height}
            tabIndex={0}
            role="img"
            aria-label={task.hint}
            onPointerDown={begin}
            onPointerMove={go}
            onPointerUp={end}
            onPointerCancel={end}
          />
        </div>
        <div class="row spread">
          <p class="muted">{task.hint}</p>
          <button type="button" class="button primary" onClick={finish}>
            {t('done')}
          </button>
        </div>
      </div>
    </Dialog>
  );
}
