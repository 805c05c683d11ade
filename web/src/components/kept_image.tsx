// A picture of the gallery: from the browser's store, else from the server.
import { useEffect, useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { sourceOf } from '../state/gallery';
import { t } from '../i18n';

interface KeptImageProps {
  picture: string;
  alt: string;
  width?: number;
  height?: number;
}

export function KeptImage(props: KeptImageProps) {
  return <Kept key={props.picture} {...props} />;
}

function Kept({ picture, alt, width, height }: KeptImageProps) {
  const place = useRef<HTMLImageElement>(null);
  const source = useSignal('');
  const lost = useSignal(false);
  useEffect(() => {
    let current = true;
    const stop = whenNear(place.current!, () =>
      sourceOf(picture).then(
        (address) => current && (source.value = address),
        () => current && (lost.value = true),
      ),
    );
    return () => {
      current = false;
      stop();
    };
  }, []);
  if (lost.value) return <span class="lost">{t('picture.lost')}</span>;
  // Until the address is there the picture keeps its place.
  return (
    <img
      ref={place}
      src={source.value || kNothing}
      alt={alt}
      width={width}
      height={height}
      draggable={false}
    />
  );
}

const kNothing = 'data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7';

// Calls `load` once the element is seen, or about to be: a gallery of thousands is not read at once.
function whenNear(element: Element, load: () => void): () => void {
  const observer = new IntersectionObserver(
    (seen) => {
      if (!seen.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      load();
    },
    { rootMargin: '400px' },
  );
  observer.observe(element);
  return () => observer.disconnect();
}
