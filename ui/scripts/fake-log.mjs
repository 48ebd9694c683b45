// A log that holds and sends as many lines as a test wants, with the cursors and the rules of the API.

const levels = ["DEBUG", "INFO", "WARNING", "ERROR", "FATAL"];

export class FakeLog {
  lines = [];
  followers = new Set();
  /** Answers to queries wait for it. */
  start = Date.UTC(2026, 0, 1);

  /** Adds lines, and sends them in one message. What is not given is made up. */
  write(lines, { dropped = 0, reset = false } = {}) {
    const added = lines.map((line, i) => {
      const n = this.lines.length + i;
      const at = new Date(this.start + n * 10).toISOString();
      return { at, stream: "STDOUT", level: "INFO", run: "r1", ...line, cursor: String(n) };
    });
    this.lines.push(...added);
    for (const follower of this.followers) this.send(follower, added.slice(dropped), dropped, reset);
  }

  send({ socket, id }, lines, dropped = 0, reset = false) {
    const serviceLogs = { lines, dropped, reset, cursor: `e${this.lines.length}` };
    socket.send(JSON.stringify({ id, type: "next", payload: { data: { serviceLogs } } }));
  }

  /** A cursor is the number of a line or, with an "e", of the one that follows. */
  page({ first, before, contains, level, run }) {
    const end = before === undefined ? this.lines.length : Number(before.replace("e", ""));
    const least = levels.indexOf(level);
    const all = this.lines
      .slice(0, end)
      .filter(
        (line) =>
          (!run || line.run === run) &&
          (least < 0 || levels.indexOf(line.level) >= least) &&
          (!contains || line.text.toLowerCase().includes(contains.toLowerCase())),
      );
    const nodes = all.slice(-first);
    return { nodes, pageInfo: { endCursor: `e${end}`, hasPreviousPage: all.length > nodes.length } };
  }

  follow(socket, id, since) {
    const follower = { socket, id };
    this.followers.add(follower);
    socket.once("close", () => this.followers.delete(follower));
    const from = since === undefined ? this.lines.length : Number(since.replace("e", ""));
    if (from < this.lines.length) this.send(follower, this.lines.slice(from));
  }

  unfollow(socket, id) {
    for (const f of this.followers) if (f.socket === socket && f.id === id) this.followers.delete(f);
  }
}
