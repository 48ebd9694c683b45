// The services page. State is always read afresh: messages only say when. Text is set with textContent,
// never as markup.

import { run, subscribe } from "/live.js";

const SERVICES = `query Services {
  services(first: 500) {
    nodes {
      id name kind phase health healthy reason endpoint restarts nextRestartAt createdAt
      template { name version }
      node { name }
      progress { step percent }
    }
    pageInfo { hasNextPage }
  }
}`;
const CHANGES = "subscription Changes { serviceHealthChanged { cursor } }";

const WORDS = {
  HEALTHY: "Healthy",
  SUSPECT: "Suspect",
  UNHEALTHY: "Unhealthy",
  STARTING: "Starting",
  UNKNOWN: "Unknown",
};
const BUSY = ["PENDING", "STARTING", "RESTARTING", "STOPPING", "REMOVING"];

const $ = (id) => document.getElementById(id);
const words = (name) => name.charAt(0) + name.slice(1).toLowerCase().replaceAll("_", " ");

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function makeRow(id) {
  const row = $("service").content.firstElementChild.cloneNode(true);
  row.dataset.id = id;
  return row;
}

function fillRow(row, service) {
  const at = (selector) => row.querySelector(selector);
  row.dataset.health = service.health;
  setText(at(".word"), WORDS[service.health] ?? words(service.health));
  setText(at(".name"), service.name);
  setText(at(".kind"), service.kind);
  setText(at(".template"), `${service.template.name} ${service.template.version}${service.node ? ` on ${service.node.name}` : ""}`);
  setText(at(".endpoint code"), service.endpoint ?? "not yet known");
  at(".endpoint").classList.toggle("none", !service.endpoint);
  setText(at(".phase"), words(service.phase));
  setText(at(".restarts"), String(service.restarts));
  const created = at(".created");
  created.dateTime = service.createdAt;
  created.title = service.createdAt;
  setText(created, new Date(service.createdAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }));
  const next = service.nextRestartAt ? ` Next start at ${new Date(service.nextRestartAt).toLocaleTimeString()}.` : "";
  setText(at(".reason"), service.reason + next);
  at(".reason").hidden = !service.reason && !next;
  fillProgress(at(".progress"), service.progress);
}

function fillProgress(box, progress) {
  box.hidden = !progress;
  if (!progress) return;
  const bar = box.querySelector("progress");
  if (progress.percent === null) bar.removeAttribute("value");
  else bar.value = progress.percent;
  const percent = progress.percent === null ? "" : ` ${Math.round(progress.percent)} %`;
  setText(box.querySelector("span"), progress.step + percent);
}

// render keeps the rows of services that stay, so that focus and selection survive.
function render(services, more) {
  const list = $("services");
  const rows = new Map([...list.children].map((row) => [row.dataset.id, row]));
  services.forEach((service, i) => {
    const row = rows.get(service.id) ?? makeRow(service.id);
    rows.delete(service.id);
    fillRow(row, service);
    if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null);
  });
  rows.forEach((row) => row.remove());
  $("loading").hidden = true;
  $("empty").hidden = services.length > 0;
  const healthy = services.filter((s) => s.healthy).length;
  setText($("summary"), services.length ? `${healthy} of ${services.length} working${more ? " (the first 500 are shown)" : ""}` : "");
}

let timer, reading = false, again = false;

// refresh reads the state; while it does, further wishes become one more reading.
async function refresh() {
  if (reading) {
    again = true;
    return;
  }
  reading = true;
  clearTimeout(timer);
  let wait = 15_000;
  try {
    const { services } = await run(SERVICES);
    render(services.nodes, services.pageInfo.hasNextPage);
    $("problem").hidden = true;
    if (services.nodes.some((s) => BUSY.includes(s.phase))) wait = 1_000; // progress is not a change
  } catch (error) {
    setText($("problem"), `The services could not be read: ${error.message}`);
    $("problem").hidden = false;
    wait = 5_000;
  }
  reading = false;
  if (again) wait = 100;
  again = false;
  timer = setTimeout(refresh, wait);
}

function setLink(state, text) {
  $("link").dataset.state = state;
  setText($("link").querySelector("span"), text);
}

$("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText($("mutation").textContent);
  setText($("copy"), "Copied");
  setTimeout(() => setText($("copy"), "Copy"), 2_000);
});

refresh();
subscribe(CHANGES, {
  connected: () => { setLink("live", "live"); refresh(); },
  message: refresh,
  lost: () => setLink("lost", "connection lost, trying again…"),
});
