// Small controls that every part of the form uses: labelled, and no wider than their place.
import type { ComponentChildren, JSX } from 'preact';
import { useId } from 'preact/hooks';
import { Icon, type IconName } from './icon';

interface ButtonProps extends JSX.HTMLAttributes<HTMLButtonElement> {
  icon: IconName;
  label: string;
  text?: boolean; // the label is seen too
  disabled?: boolean;
}

export function IconButton({ icon, label, text, class: name = '', ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      class={`button ${text ? '' : 'only-icon'} ${name}`}
      {...(text ? {} : { 'aria-label': label, title: label })}
      {...rest}
    >
      <Icon name={icon} />
      {text && <span>{label}</span>}
    </button>
  );
}

interface SliderProps {
  label: string;
  value: number;
  min: number;
  max: number;
  step: number;
  usual?: boolean; // the value is the model's own, not the user's
  onInput(value: number): void;
  onReset?(): void;
  resetLabel?: string;
}

// A slider and the same value as a number, which may be beyond the slider's ends.
export function Slider({ label, value, min, max, step, usual, onInput, onReset, resetLabel }: SliderProps) {
  const id = useId();
  const read = (event: JSX.TargetedEvent<HTMLInputElement>) => {
    const number = event.currentTarget.valueAsNumber;
    if (Number.isFinite(number)) onInput(number);
  };
  return (
    <div class={`slider ${usual ? 'usual' : ''}`}>
      <label for={id}>{label}</label>
      {onReset && !usual && (
        <button type="button" class="link reset" onClick={onReset}>
          {resetLabel}
        </button>
      )}
      <input
        class="number"
        type="number"
        min={min}
        step={step}
        value={value}
        aria-label={label}
        onChange={read}
      />
      <input id={id} type="range" min={min} max={max} step={step} value={value} onInput={read} />
    </div>
  );
}

interface SelectProps {
  label: string;
  value: string;
  options: { value: string; text: string; disabled?: boolean }[];
  onChange(value: string): void;
  hideLabel?: boolean;
}

export function Select({ label, value, options, onChange, hideLabel }: SelectProps) {
  const id = useId();
  return (
    <div class="field">
      <label for={id} class={hideLabel ? 'unseen' : ''}>
        {label}
      </label>
      <select id={id} value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {options.map((option) => (
          <option key={option.value} value={option.value} disabled={option.disabled}>
            {option.text}
          </option>
        ))}
      </select>
    </div>
  );
}

interface SectionProps {
  title: string;
  value?: string; // what holds now, seen while the section is closed
  open?: boolean;
  name: string;
  children: ComponentChildren;
}

// A part of the form that folds. Its heading says what holds, so that a closed form can be read.
export function Section({ title, value, open, name, children }: SectionProps) {
  return (
    <details class="section" open={open} data-section={name}>
      <summary>
        <Icon name="chevron" size={16} />
        <span class="title">{title}</span>
        <span class="value">{value}</span>
      </summary>
      <div class="content">{children}</div>
    </details>
  );
}

interface ChoiceProps<T extends string> {
  label: string;
  value: T | null;
  options: { value: T; text: ComponentChildren; title?: string }[];
  onChange(value: T): void;
  class?: string;
}

// One of a few, all in sight.
export function Choice<T extends string>({
  label,
  value,
  options,
  onChange,
  class: name = '',
}: ChoiceProps<T>) {
  const group = useId();
  return (
    <fieldset class={`choice ${name}`}>
      <legend class="unseen">{label}</legend>
      {options.map((option) => (
        <label key={option.value} class={option.value === value ? 'chosen' : ''} title={option.title}>
          <input
            type="radio"
            name={group}
            aria-label={option.title}
            checked={option.value === value}
            onChange={() => onChange(option.value)}
          />
          {option.text}
        </label>
      ))}
    </fieldset>
  );
}

export function Switch(props: { label: string; on: boolean; onChange(on: boolean): void }) {
  return (
    <label class="switch">
      <input
        type="checkbox"
        role="switch"
        checked={props.on}
        onChange={(event) => props.onChange(event.currentTarget.checked)}
      />
      <span class="track" aria-hidden="true" />
      <span>{props.label}</span>
    </label>
  );
}

// The server's own words and its hint.
export function ProblemNote({ message, hint }: { message: string; hint?: string }) {
  return (
    <div class="problem" role="alert">
      <Icon name="warning" />
      <div>
        <p>{message}</p>
        {hint && <p class="hint">{hint}</p>}
      </div>
    </div>
  );
}
