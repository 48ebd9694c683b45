// What services of the fake server use: curves that depend on the service and the time alone, with gaps, and batches of
// measurements that a test sends when it wants.

const MiB = 2 ** 20;
const number = (id) => Number(id.slice(1));
const wave = (t, period, phase) => (1 + Math.sin((t / period) * 2 * Math.PI + phase)) / 2;

/** What a service uses at a time, in seconds. */
function at(id, t) {
  const n = number(id);
  const load = 0.6 * wave(t, 1800 + 60 * (n % 7), n) + 0.25 * wave(t, 210, 2 * n) + 0.15 * wave(t, 47, n);
  return {
    cpu: Math.round(1.6 * load ** 2 * 1000) / 1000,
    memoryBytes: Math.round((180 + 40 * (n % 6) + 90 * wave(t, 2600, n)) * MiB),
    diskBytes: Math.round((900 + (t % 86_400) / 300) * MiB),
    receivedBytesPerSecond: Math.round(load * 300_000),
    sentBytesPerSecond: Math.round(load * 900_000 * wave(t, 600, n)),
    connections: n % 5 === 1 ? Math.round(8 + 30 * load) : null,
  };
}

const ranges = { HOUR: [3_600, 10], DAY: [86_400, 60], WEEK: [7 * 86_400, 900], MONTH: [30 * 86_400, 900] };

export class FakeUsage {
  followers = new Set();
  /** Ids of services that are not measured. */
  silent = new Set();
  /** Warnings by service. */
  warnings = new Map();
  /** How many queries and subscriptions there were. */
  asked = { histories: 0, follows: 0, ids: [] };

  now(id) {
    if (this.silent.has(id)) return null;
    const { connections, ...usage } = at(id, Math.floor(Date.now() / 1000));
    return {
      serviceId: id,
      at: new Date().toISOString(),
      ...usage,
      cpuLimit: 2,
      memoryLimitBytes: 512 * MiB,
      diskAt: new Date().toISOString(),
      processes: 7,
      descriptors: 112,
    };
  }

  history(id, range, points) {
    const [length, finest] = ranges[range];
    const step = Math.ceil(length / points / finest) * finest;
    const to = Math.ceil(Date.now() / 1000 / step) * step;
    const from = to - Math.floor(length / step) * step;
    const keys = Object.keys(at(id, 0));
    const columns = Object.fromEntries(keys.map((key) => [key, []]));
    for (let t = from; t < to; t += step) {
      // A twelfth of each range was not measured.
      const gap = this.silent.has(id) || (t - from > length / 3 && t - from < length / 3 + length / 12);
      const use = gap ? {} : at(id, t);
      for (const key of keys) columns[key].push(use[key] ?? null);
    }
    const iso = (t) => new Date(t * 1000).toISOString();
    return { id, from: iso(from), to: iso(to), stepSeconds: step, ...columns };
  }

  many({ ids, range = "HOUR", points }) {
    this.asked.histories++;
    this.asked.ids = ids;
    return ids.map((id) => this.history(id, range, points));
  }

  stats(id) {
    const now = new Date().toISOString();
    if (number(id) % 5 !== 1) return [];
    return [
      { name: "connections_used", unit: "COUNT", value: 23, at: now },
      { name: "connections_max", unit: "COUNT", value: 100, at: now },
      { name: "database_bytes", unit: "BYTES", value: 87 * MiB, at: now },
    ];
  }

  uptime(range) {
    const [count, seconds] = { DAY: [24, 3_600], WEEK: [168, 3_600], MONTH: [30, 86_400], YEAR: [365, 86_400] }[range];
    const end = Math.ceil(Date.now() / 1000 / seconds) * seconds;
    const iso = (t) => new Date(t * 1000).toISOString();
    const buckets = Array.from({ length: count }, (_, i) => {
      const sums = { healthySeconds: seconds, downSeconds: 0, plannedSeconds: 0, unknownSeconds: 0 };
      const less = (key, part) => {
        sums[key] = part;
        sums.healthySeconds = Math.max(0, sums.healthySeconds - part);
      };
      if (i < count / 8) sums.healthySeconds = 0;
      else if (i % 11 === 6) less("downSeconds", seconds / 40);
      else if (i % 17 === 9) less("plannedSeconds", seconds);
      else if (i % 23 === 13) less("unknownSeconds", seconds);
      return { from: iso(end - (count - i) * seconds), to: iso(end - (count - i - 1) * seconds), ...withShare(sums) };
    });
    const sum = (key) => buckets.reduce((all, b) => all + b[key], 0);
    const keys = ["healthySeconds", "downSeconds", "plannedSeconds", "unknownSeconds"];
    const sums = withShare(Object.fromEntries(keys.map((key) => [key, sum(key)])));
    return { from: buckets[0].from, to: buckets.at(-1).to, ...sums, buckets };
  }

  node(services) {
    const GiB = 1024 * MiB;
    return {
      at: new Date().toISOString(),
      cpu: 3.4,
      cpus: 8,
      memoryBytes: 11.2 * GiB,
      memoryTotalBytes: 32 * GiB,
      diskBytes: 210 * GiB,
      diskTotalBytes: 500 * GiB,
      promisedCpu: Math.min(6, services * 2),
      promisedMemoryBytes: Math.min(24 * GiB, services * 512 * MiB),
      servicesCpu: 2.1,
      servicesMemoryBytes: 7.5 * GiB,
    };
  }

  follow(socket, id, ids) {
    this.asked.follows++;
    const follower = { socket, id, ids };
    this.followers.add(follower);
    socket.once("close", () => this.followers.delete(follower));
    this.send(follower, ids);
  }

  unfollow(socket, id) {
    for (const f of this.followers) if (f.socket === socket && f.id === id) this.followers.delete(f);
  }

  send({ socket, id }, ids) {
    const services = ids.map((service) => this.now(service)).filter(Boolean);
    if (services.length > 0)
      socket.send(JSON.stringify({ id, type: "next", payload: { data: { usage: { services } } } }));
  }

  /** Sends another measurement of all that is followed, in so many messages, as if so many nodes had measured. */
  measure(messages = 1) {
    for (const follower of this.followers) {
      for (let m = 0; m < messages; m++)
        this.send(
          follower,
          follower.ids.filter((_, i) => i % messages === m),
        );
    }
  }
}

function withShare(sums) {
  const known = sums.healthySeconds + sums.downSeconds;
  return { ...sums, share: known > 0 ? sums.healthySeconds / known : null };
}
