/**
 * Ring holds the newest part of a list that grows at both ends, up to a capacity. Each item has a sequence number, which stays
 * the same while others come and go.
 */
export class Ring<T> {
  private readonly slots: (T | undefined)[] = [];
  private begin = 0;
  private end = 0;

  constructor(readonly capacity: number) {}

  /** The sequence number of the oldest item. */
  get first() {
    return this.begin;
  }

  get size() {
    return this.end - this.begin;
  }

  /** How many older items fit. */
  get room() {
    return this.capacity - this.size;
  }

  /** Returns an item by its place: 0 is the oldest. */
  at(index: number): T | undefined {
    return index < 0 || index >= this.size ? undefined : this.slots[this.slot(this.begin + index)];
  }

  /** Adds the newest item. Returns whether the oldest one was dropped for it. */
  push(item: T): boolean {
    this.slots[this.slot(this.end++)] = item;
    if (this.size <= this.capacity) return false;
    this.begin++;
    return true;
  }

  /** Adds older items, given oldest first. When not all fit, the newest of them do. Returns how many were added. */
  prepend(items: readonly T[]): number {
    const n = Math.min(items.length, this.room);
    for (let i = 0; i < n; i++) this.slots[this.slot(--this.begin)] = items[items.length - 1 - i];
    return n;
  }

  /** Drops the n oldest items. */
  drop(n: number) {
    for (let i = Math.min(n, this.size); i > 0; i--) this.slots[this.slot(this.begin++)] = undefined;
  }

  /** Drops all items. Their sequence numbers are not used again. */
  clear() {
    this.slots.length = 0;
    this.begin = this.end;
  }

  private slot(sequence: number) {
    return ((sequence % this.capacity) + this.capacity) % this.capacity;
  }
}
