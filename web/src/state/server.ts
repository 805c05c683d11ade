// What the server is and has: session, models, capabilities. Loaded once, and again after a key was given.
import { computed, signal } from '@preact/signals';
import * as api from '../api/client';
import type { Problem } from '../api/client';
import type { Capabilities, Model, Session } from '../api/types';

export const session = signal<Session | null>(null);
export const models = signal<Model[]>([]);
export const capabilities = signal<Capabilities | null>(null);
export const loadProblem = signal<Problem | null>(null);
export const needsKey = signal(false);

export const defaultModel = computed(() => models.value.find((model) => model.default) ?? models.value[0]);
export const modelOf = (id: string) => models.value.find((model) => model.id === id) ?? defaultModel.value;
export const networks = (kind: string) => capabilities.value?.networks[kind] ?? [];
export const offers = (feature: string) => capabilities.value?.features.includes(feature) ?? false;

// Returns whether all of it could be loaded.
export async function loadServer(): Promise<boolean> {
  try {
    session.value = await api.session();
    [models.value, capabilities.value] = await Promise.all([api.models(), api.capabilities()]);
    needsKey.value = false;
    loadProblem.value = null;
    return true;
  } catch (error) {
    const problem = api.problemFrom(error);
    if (problem.status === 401) needsKey.value = true;
    else loadProblem.value = problem;
    return false;
  }
}
