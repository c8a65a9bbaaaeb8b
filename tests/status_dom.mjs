// Runs the status page's script on as little of a DOM as it needs, over answers of /status, and prints what a person would read.
// usage: node status_dom.mjs PAGE.html PAGE.js ANSWER.json...      an answer "{"status": 401}" or "null" (no answer) is one of these
import {readFileSync} from 'node:fs';
import vm from 'node:vm';

class Node {
  constructor(tag) {
    Object.assign(this, {tag, attributes: {}, children: [], listeners: {}, text: '', hidden: false});
  }
  get textContent() { return this.text + this.children.map(c => typeof c === 'string' ? c : c.textContent).join(''); }
  set textContent(text) { this.children = []; this.text = String(text); }
  setAttribute(name, value) { this.attributes[name] = String(value); }
  getAttribute(name) { return this.attributes[name] ?? null; }
  append(...nodes) {
    for (const n of nodes) {
      if (n === undefined || n === null) {
        throw new Error('nothing is appended to ' + this.tag);
      }
    }
    this.children.push(...nodes);
  }
  replaceChildren(...nodes) { this.text = ''; this.children = []; this.append(...nodes); }
  addEventListener(name, f) { this.listeners[name] = f; }
  set innerHTML(_) { throw new Error('innerHTML is not for the texts of others'); }
  all() { return [this, ...this.children.flatMap(c => typeof c === 'string' ? [] : c.all())]; }
}

const [, , html, script, ...files] = process.argv;
const byId = {};
for (const m of readFileSync(html, 'utf8').matchAll(/<([a-z0-9]+)([^>]*)\bid="([^"]+)"([^>]*)>/g)) {
  byId[m[3]] = new Node(m[1]);
  byId[m[3]].hidden = / hidden\b/.test(m[2] + m[4]);
}
const answers = files.map(f => JSON.parse(readFileSync(f, 'utf8')));
const asked = [];
let timers = [];
const document = {
  title: '', hidden: false, listeners: {},
  getElementById(id) {
    if (!byId[id]) {
      throw new Error('no element ' + id);
    }
    return byId[id];
  },
  createElement: tag => new Node(tag),
  createElementNS: (_, tag) => new Node(tag),
  addEventListener(name, f) { this.listeners[name] = f; },
};
const context = {
  document, Intl, JSON, Math, Object, String, Error, console,
  sessionStorage: {getItem: () => null, setItem() {}},
  setTimeout: f => timers.push(f), clearTimeout: () => { timers = []; },
  async fetch(url, options) {
    asked.push({url, headers: options.headers});
    const answer = answers.shift();
    if (answer === null || answer === undefined) {
      throw new Error('connection refused');
    }
    const status = typeof answer.status === 'number' ? answer.status : 200;
    return {ok: status === 200, status, json: async () => answer, text: async () => answer.text ?? ''};
  },
};
vm.runInNewContext(readFileSync(script, 'utf8'), context, {filename: script});
const shown = [];
const settle = () => new Promise(done => setImmediate(done));
const look = () => {
  const text = {};
  for (const [id, node] of Object.entries(byId)) {
    text[id] = node.textContent;
  }
  shown.push({
    title: document.title, text, shown: !byId.shown.hidden, login: !byId.login.hidden, badge: byId.state.attributes.class,
    faults: byId.faults.children.map(c => ({level: c.attributes.class, text: c.textContent})),
    rows: Object.fromEntries(['streams', 'drivers', 'uplinks'].map(id =>
      [id, byId[id].all().filter(n => n.tag === 'tr').map(r => r.children.map(c => c.textContent))])),
    charts: byId.charts.all().filter(n => n.tag === 'svg').map(n => n.attributes['aria-label']),
    paths: byId.charts.all().filter(n => n.attributes.class === 'line').map(n => n.attributes.d ?? ''),
    roles: byId.streams.all().map(n => n.attributes.role).filter(r => r),
  });
};
for (let i = 0; i < files.length; i++) {
  await settle();
  await settle();
  look();
  if (shown[i].login && answers.length) { // a person types the token
    byId.token.value = 'typed';
    byId.login.listeners.submit({preventDefault() {}});
  } else if (i === files.length - 1) {
    break;
  } else {
    const due = timers;
    timers = [];
    due.forEach(f => f());
  }
}
const before = asked.length;
byId.pause.listeners.click(); // paused: nothing is asked any more
timers.forEach(f => f());
await settle();
console.log(JSON.stringify({shown, asked, paused: asked.length === before && byId.pause.attributes['aria-pressed'] === 'true'}));
