// Elements of SVG from a tag and attributes. Text is set as text: names are strangers'.

type Attributes = Record<string, string | number>;

export function s<T extends keyof SVGElementTagNameMap>(
  tag: T,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[T] {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  set(element, attributes);
  element.append(...children);
  return element;
}

/** Touches only what is different, as a page that is drawn anew every two seconds should. */
export function set(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (element.getAttribute(name) !== String(value)) element.setAttribute(name, String(value));
  }
}

export function write(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}
