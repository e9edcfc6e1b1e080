// Elements from a tag, properties and children: all that the views need in place of a framework.

type Properties<T extends keyof HTMLElementTagNameMap> = {
  [K in keyof HTMLElementTagNameMap[T]]?: HTMLElementTagNameMap[T][K] | null;
} & { data?: Record<string, string>; aria?: Record<string, string> };

type Child = Node | string | null | undefined | false;

export function h<T extends keyof HTMLElementTagNameMap>(
  tag: T,
  { data, aria, ...properties }: Properties<T> = {},
  ...children: Child[]
): HTMLElementTagNameMap[T] {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria ?? {})) element.setAttribute(`aria-${name}`, value);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Brings the children into the order wanted by as few moves as a simple pass finds: what stays keeps the focus. */
export function arrange(list: HTMLElement, wanted: readonly HTMLElement[]): void {
  const keep = new Set<Element>(wanted);
  for (const child of [...list.children]) if (!keep.has(child)) child.remove();
  wanted.forEach((element, index) => {
    const there = list.children[index];
    if (there !== element) list.insertBefore(element, there ?? null);
  });
}

/** A decorative icon: the strokes of a 24 by 24 drawing. */
export function icon(strokes: string): SVGSVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", strokes);
  svg.append(path);
  return svg;
}

export const ICONS = {
  mic: "M12 4a3 3 0 0 1 3 3v4a3 3 0 0 1-6 0V7a3 3 0 0 1 3-3M6 11a6 6 0 0 0 12 0M12 17v4",
  micOff: "M15 10V7a3 3 0 0 0-5.7-1.3M9 9v2a3 3 0 0 0 4.6 2.5M6 11a6 6 0 0 0 9.5 4.9M12 17v4M4 3l16 18",
  camera: "M3 7h12v10H3zM15 11l6-3v8l-6-3",
  cameraOff: "M10 7h5v6M15 11l6-3v8l-4-2M13 17H3V7h1M4 3l16 18",
  eye: "M2 12c3-5 6.5-7 10-7s7 2 10 7c-3 5-6.5 7-10 7s-7-2-10-7M12 9a3 3 0 1 0 0 6a3 3 0 1 0 0-6",
  phone: "M6.5 4 9 9l-2 1.5a11 11 0 0 0 6.5 6.5L15 15l5 2.5-1 3C11 20 4 13 3.5 5z",
  hand: "M8 12V6a1.5 1.5 0 0 1 3 0v5M11 10V4.5a1.5 1.5 0 0 1 3 0V11M14 6.5a1.5 1.5 0 0 1 3 0V15a6 6 0 0 1-6 6c-3 0-4.4-1.6-5.6-4L4 14.5a1.5 1.5 0 0 1 2.5-1.6L8 14.5",
  share: "M4 5h16v11H4zM9 20h6M12 13V8M9 10l3-3 3 3",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  chat: "M4 5h16v11H9l-5 4z",
  stats: "M5 20v-6M12 20V5M19 20v-9",
  gear: "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4",
  link: "M10 14a4 4 0 0 0 6 0l3-3a4 4 0 0 0-6-6l-1 1M14 10a4 4 0 0 0-6 0l-3 3a4 4 0 0 0 6 6l1-1",
  dots: "M5 12h.01M12 12h.01M19 12h.01",
  focus: "M3 4h18v11H3zM3 20h4M10 20h4M17 20h4",
  grid: "M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z",
  float: "M3 5h18v14H3zM12 12h6v4h-6z",
} as const;
