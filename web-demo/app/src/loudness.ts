// Levels as they are drawn: dBov in, a height from 0 to 1 out.

const QUIETEST_DBOV = -70;
const LOUDEST_DBOV = -12;

export function heightOf(levelDbov: number): number {
  const height = (levelDbov - QUIETEST_DBOV) / (LOUDEST_DBOV - QUIETEST_DBOV);
  return Math.min(1, Math.max(0, height));
}
