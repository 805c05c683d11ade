// The JSON of the server's own API (docs/api.md), as far as the page reads it.

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

type JobState = 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
type JobKind = 'draw' | 'coop' | 'control';

export interface ProblemBody {
  code: string;
  message: string;
  hint: string;
}

export interface Progress {
  stage: 'load' | 'draw' | 'finish';
  step: number;
  steps: number;
  sigma: number | null;
  expert: string | null;
  seconds_left: number | null;
}

export interface JobPicture {
  index: number;
  id: string;
  url?: string;
  seed: number;
  width: number;
  height: number;
  removed?: boolean;
}

export interface JobBody {
  request?: JsonObject;
  model?: string;
  load?: JsonObject;
  recipe?: JsonObject;
  preview_every?: number;
  member_previews?: boolean;
  priority?: number;
}

export interface Job extends JobBody {
  id: string;
  kind: JobKind;
  state: JobState;
  owner: string; // the name of the key that asked for it
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  position: number | null;
  progress: Progress | null;
  pictures: JobPicture[];
  resolved: JsonObject | null;
  warnings: string[];
  seconds: Record<string, number>;
  error: ProblemBody | null;
}

export interface Preview {
  step: number;
  steps: number;
  width: number;
  height: number;
  content_type: string;
  image: string;
  member: string | null;
}

export interface Model {
  id: string;
  title: string;
  experts?: string[];
  boundaries?: number[];
  defaults?: JsonObject;
  size_multiple?: number;
  min_side?: number;
  max_side?: number;
  sizes?: [number, number][];
  styles?: string[];
  controls?: boolean;
  inpainting?: boolean;
  image_prompt?: boolean;
  weight_bytes?: number;
  default: boolean;
  error: string | null;
}

export interface NamedEntry {
  name: string;
  web_name?: string;
  summary?: string;
}

// A field of a request, as the server lists it.
export interface Field {
  key: string;
  type: string; // text, texts, number, integer, boolean or controls
  help: string;
  default: Json;
  usual: string; // in words, where the default depends on something
  values: string[]; // that it may be; empty: any
  picture: boolean;
  shared: boolean; // one for all members of a recipe
}

export interface Capabilities {
  version: string;
  fields: Field[];
  samplers: NamedEntry[];
  schedules: NamedEntry[];
  networks: Record<string, string[]>;
  controls: { kind: string; options: JsonObject }[];
  coop: { forms: string[]; bridges: string[] };
  limits: { body_bytes: number; pixels: number; count: number; queue: number };
  features: string[];
}

export interface Session {
  name: string;
  admin: boolean;
  needs_key: boolean;
}

// What a job would do and cost (POST /v1/plan).
export interface Plan {
  kind: JobKind;
  resolved: JsonObject;
  seconds: number | null; // null: these models have not drawn here yet
  warnings: string[];
  plan: { stages: PlanStage[]; cost: PlanCost };
}

export interface PlanStage {
  members: PlanMember[];
  bridges: PlanBridge[];
  carries: PlanBridge[]; // to the next stage
}

export interface PlanMember {
  name: string;
  hub: boolean;
  width: number;
  height: number;
  latent_channels: number;
  downscale: number;
  experts: { name: string; steps: number }[];
}

export interface PlanBridge {
  from: string;
  to: string;
  kind: string; // identity, exact, tiny, learned
  by: string;
}

interface PlanCost {
  pictures: number;
  evaluations: number;
  gflop: number;
  weight_bytes: number;
  networks: { member: string; network: string; part: string; calls: number; rows: number; gflop: number }[];
  bridges: { from: string; to: string; kind: string; crossings: number; gflop: number }[];
}

// A picture that the server holds, by the hash of its bytes.
export interface Picture {
  id: string;
  url: string;
  width: number;
  height: number;
}

// What a picture says of how it was drawn: the body of a job, and what was not taken over.
export interface PictureSettings extends JobBody {
  origin: string;
  unmatched: string[];
  warnings: string[];
}
