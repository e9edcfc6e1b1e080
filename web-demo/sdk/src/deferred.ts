// A promise that is settled from outside: those who need a WebSocket wait for the next one that works.

/** A promise for many, settled from outside. After a rejection those who come later get one too. */
export class Deferred<T> {
  resolve!: (value: T) => void;
  reject!: (error: Error) => void;
  promise = new Promise<T>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = (error) => {
      reject(error);
      this.promise = Promise.reject(error);
      this.promise.catch(() => {});
    };
  });

  constructor() {
    // Nobody may be waiting when it is rejected.
    this.promise.catch(() => {});
  }
}
