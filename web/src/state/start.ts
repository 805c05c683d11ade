// The order in which a page comes to life, at its beginning and after a key was given.
import { announce } from './view';
import { draft } from './draft';
import { addFromServer, openGallery } from './gallery';
import { resumeJobs } from './jobs';
import { offline } from './network';
import { loadProblem, loadServer, models, session } from './server';
import { t } from '../i18n';

const kRetryMs = 3000;

export async function startPage(): Promise<void> {
  if (!(await loadServer())) {
    offline.value = loadProblem.value?.code === 'offline';
    if (loadProblem.value) setTimeout(startPage, kRetryMs);
    // The pictures that the browser keeps can be seen without the server.
    if (offline.value) await openGallery(lastOwner());
    return;
  }
  offline.value = false;
  const owner = session.value!.name;
  localStorage.setItem(kOwnerKey, owner);
  forgetUnknownModels();
  await openGallery(owner);
  try {
    await resumeJobs();
    await addFromServer(owner);
  } catch {
    // The list of jobs is asked for again with the next job.
  }
  announce(t('status.ready'));
}

const kOwnerKey = 'pangu-draw.owner';
const lastOwner = () => localStorage.getItem(kOwnerKey) ?? 'local';

// A draft that was kept may name a model that the server has no more.
function forgetUnknownModels(): void {
  const known = new Set(models.value.map((model) => model.id));
  const { model, members } = draft.value;
  draft.value = {
    ...draft.value,
    model: known.has(model) ? model : '',
    members: members.filter((member) => known.has(member.model)),
  };
}
