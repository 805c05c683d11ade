// Short messages at the edge of the page.
import { t } from '../i18n';
import { dropNotice, notices } from '../state/view';
import { IconButton } from './controls';
import { Icon } from './icon';

export function Notices() {
  return (
    <div class="notices" role="region" aria-label={t('notices')}>
      {notices.value.map((notice) => (
        <div
          key={notice.key}
          class={`notice ${notice.isError ? 'error' : ''}`}
          role={notice.isError ? 'alert' : 'status'}
        >
          <Icon name={notice.isError ? 'warning' : 'check'} />
          <div>
            <p>{notice.text}</p>
            {notice.hint && <p class="hint">{notice.hint}</p>}
          </div>
          <IconButton icon="close" label={t('dismiss')} onClick={() => dropNotice(notice.key)} />
        </div>
      ))}
    </div>
  );
}
