// A picture of the gallery: from the browser's store, else from the server.
import { useEffect } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { sourceOf } from '../state/gallery';
import { t } from '../i18n';

interface KeptImageProps {
  picture: string;
  alt: string;
  width?: number;
  height?: number;
}

export function KeptImage({ picture, alt, width, height }: KeptImageProps) {
  const source = useSignal('');
  const lost = useSignal(false);
  useEffect(() => {
    let current = true;
    lost.value = false;
    sourceOf(picture).then(
      (address) => current && (source.value = address),
      () => current && (lost.value = true),
    );
    return () => void (current = false);
  }, [picture]);
  if (lost.value) return <span class="lost">{t('picture.lost')}</span>;
  // Until the address is there the picture keeps its place.
  return <img src={source.value || kNothing} alt={alt} width={width} height={height} draggable={false} />;
}

const kNothing = 'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7';
