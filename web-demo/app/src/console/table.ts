// A table whose rows stay where they are while their figures change, so that nobody who reads it loses the place.

import { arrange, h } from "../dom.js";
import { write } from "./svg.js";

export interface Column<T> {
  head: string;
  text(row: T): string;
  isNumber?: boolean;
  /** Leads elsewhere, where there is an address. */
  link?(row: T): string | null;
}

export interface TableOptions<T> {
  title: string;
  testid: string;
  /** Of a row, by which it is known again. */
  key(row: T): string;
  /** The first one names the row. */
  columns: readonly Column<T>[];
  empty: string;
}

export class Table<T> {
  readonly element: HTMLElement;
  readonly #options: TableOptions<T>;
  readonly #body = h("tbody");
  readonly #note = h("p", { className: "hint" });
  readonly #rows = new Map<string, HTMLTableRowElement>();
  readonly #scroll: HTMLElement;

  constructor(options: TableOptions<T>) {
    this.#options = options;
    const heading = h("h2", { id: `${options.testid}-title` }, options.title);
    const heads = options.columns.map(({ head, isNumber }) =>
      h("th", { scope: "col", className: isNumber ? "number" : "" }, head),
    );
    const table = h(
      "table",
      { data: { testid: options.testid }, aria: { labelledby: heading.id } },
      h("thead", {}, h("tr", {}, ...heads)),
      this.#body,
    );
    // Where it is wider or longer than its place, the keyboard scrolls it.
    this.#scroll = h(
      "div",
      { className: "scroll", tabIndex: 0, role: "region", aria: { labelledby: heading.id } },
      table,
    );
    this.element = h("section", { className: "panel" }, heading, this.#note, this.#scroll);
  }

  /** `note` says what isn't in it. */
  show(rows: readonly T[], note = ""): void {
    const { key, columns, empty } = this.#options;
    const keys = new Set(rows.map(key));
    for (const known of [...this.#rows.keys()]) if (!keys.has(known)) this.#rows.delete(known);
    const wanted = rows.map((row) => {
      const element = this.#rows.get(key(row)) ?? rowOf(columns);
      this.#rows.set(key(row), element);
      for (const [index, column] of columns.entries()) fill(element.cells[index] as HTMLElement, column, row);
      return element;
    });
    arrange(this.#body, wanted);
    write(this.#note, rows.length === 0 ? empty : note);
    this.#note.hidden = this.#note.textContent === "";
    this.#scroll.hidden = rows.length === 0;
  }
}

function rowOf<T>(columns: readonly Column<T>[]): HTMLTableRowElement {
  const cells = columns.map(({ isNumber }, index) => {
    const className = isNumber ? "number" : "";
    return index === 0 ? h("th", { scope: "row", className }) : h("td", { className });
  });
  return h("tr", {}, ...cells);
}

function fill<T>(cell: HTMLElement, column: Column<T>, row: T): void {
  const href = column.link?.(row) ?? null;
  const there = cell.querySelector("a");
  if (href === null) write(cell, column.text(row));
  else if (there?.href === href) write(there, column.text(row));
  else cell.replaceChildren(h("a", { href, rel: "noreferrer" }, column.text(row)));
}
