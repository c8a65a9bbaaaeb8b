'use strict';
// The status page: asks /status again and again and shows it. Texts of the agent get into the page as texts only.
(() => {
  const EVERY_MS = 2000;
  const KEPT = 300; // points of a chart: 10 minutes
  const SVG = 'http://www.w3.org/2000/svg';
  const $ = id => document.getElementById(id);
  const points = [];
  let token = null;
  let paused = false;
  let timer = 0;
  let told = '';

  try {
    token = sessionStorage.getItem('token');
  } catch (e) { /* no storage: asked again */ }

  // --- words and numbers ---

  const number = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
  const short = new Intl.NumberFormat('en', {maximumSignificantDigits: 3});
  const count = n => n === null || n === undefined ? '–' : number.format(n);
  const rate = n => n === null ? '–' : n < 1000 ? short.format(n) : number.format(n);

  function bytes(n) {
    if (n === null || n === undefined) {
      return '–';
    }
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let unit = 0;
    while (n >= 1000 && unit < units.length - 1) {
      n /= 1000;
      unit++;
    }
    return (unit ? short.format(n) : number.format(n)) + ' ' + units[unit];
  }

  function duration(s) {
    if (s === null || s === undefined) {
      return '–';
    }
    const units = [[86400, 'd', 3600, 'h'], [3600, 'h', 60, 'min'], [60, 'min', 1, 's']];
    for (const [big, name, small, rest] of units) {
      if (s >= big) {
        const more = Math.floor(s % big / small);
        return Math.floor(s / big) + ' ' + name + (more ? ' ' + more + ' ' + rest : '');
      }
    }
    return (s < 10 ? short.format(s) : number.format(s)) + ' s';
  }

  const percent = share => short.format(share * 100) + ' %';
  const years = n => n > 100 ? 'more than 100 years' : short.format(n) + ' years';
  const entries = o => Object.entries(o || {});

  // --- making elements ---

  function set(node, name, value) {
    if (node.getAttribute(name) !== value) {
      node.setAttribute(name, value);
    }
  }

  function say(node, text) {
    if (node.textContent !== text) {
      node.textContent = text;
    }
  }

  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    node.append(...children);
    return node;
  }

  function drawn(tag, attributes) {
    const node = document.createElementNS(SVG, tag);
    entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
    return node;
  }

  // --- charts ---

  class Chart {
    constructor(title, unit, format, value, empty) {
      Object.assign(this, {title, unit, format, value, empty: empty || 'Nothing to show yet'});
      this.now = el('span');
      this.svg = drawn('svg', {viewBox: '0 0 300 80', preserveAspectRatio: 'none', role: 'img', 'aria-label': title});
      for (const y of [1, 40, 79]) {
        this.svg.append(drawn('line', {x1: 0, x2: 300, y1: y, y2: y, class: 'grid-line'}));
      }
      this.area = drawn('path', {class: 'area'});
      this.line = drawn('path', {class: 'line'});
      this.svg.append(this.area, this.line);
      this.caption = el('figcaption', {class: 'quiet'});
      this.body = el('tbody');
      this.more = el('details', {}, el('summary', {}, 'Values'),
        el('div', {tabindex: '0', role: 'region', 'aria-label': title + ', values'},
          el('table', {}, el('caption', {class: 'hidden'}, title),
            el('thead', {}, el('tr', {}, el('th', {scope: 'col'}, 'Before'), el('th', {scope: 'col'}, unit))), this.body)));
      this.more.addEventListener('toggle', () => this.draw());
      this.node = el('div', {class: 'card'}, el('h3', {}, title),
        el('p', {class: 'figure'}, this.now, ' ', el('small', {}, unit)),
        el('figure', {}, this.svg, this.caption), this.more);
    }

    draw() {
      const known = points.map(p => ({t: p.t, v: p[this.value]})).filter(p => p.v !== null && p.v !== undefined);
      const latest = known.length ? known[known.length - 1] : null;
      say(this.now, latest ? this.format(latest.v) : '–');
      if (!latest) {
        say(this.caption, this.empty);
        return;
      }
      const most = Math.max(...known.map(p => p.v));
      const span = Math.max(60, latest.t - known[0].t);
      const top = most > 0 ? most * 1.05 : 1;
      const at = p => (300 - (latest.t - p.t) / span * 300).toFixed(1) + ',' + (79 - p.v / top * 78).toFixed(1);
      const path = 'M' + known.map(at).join('L');
      set(this.line, 'd', path);
      set(this.area, 'd', path + 'L300,80L' + (300 - (latest.t - known[0].t) / span * 300).toFixed(1) + ',80Z');
      const words = 'last ' + duration(Math.max(1, Math.round(latest.t - known[0].t))) + ', highest ' + this.format(most);
      say(this.caption, words);
      set(this.svg, 'aria-label', this.title + ': ' + this.format(latest.v) + ' ' + this.unit + '; ' + words);
      if (this.more.open) {
        this.body.replaceChildren(...known.slice().reverse().map(p =>
          el('tr', {}, el('th', {scope: 'row'}, duration(Math.round(latest.t - p.t))), el('td', {}, this.format(p.v)))));
      }
    }
  }

  const charts = [
    new Chart('Intake', 'events/s', rate, 'intake'),
    new Chart('Delivery', 'events/s', rate, 'delivery'),
    new Chart('Backlog', 'events', count, 'backlog'),
    new Chart('Link', 'per second', bytes, 'link'),
    new Chart('Budget', 'of the tightest is spent', percent, 'budget', 'No link has a budget'),
    new Chart('Flash wear', 'written per hour', bytes, 'wear'),
  ];

  const sum = (o, pick) => entries(o).reduce((all, [, part]) => all + pick(part), 0);

  function totals(s) {
    return {
      t: s.uptime_s,
      taken: s.events,
      delivered: s.delivered,
      wire: sum(s.links, l => l.bytes) || sum(s.uplinks, u => u.wire_sent + u.wire_received),
      written: s.wear.bytes,
    };
  }

  function tightest(s) {
    const shares = entries(s.links).flatMap(([, l]) => entries(l.budgets).map(([, b]) => b.spent / b.max));
    return shares.length ? Math.max(...shares) : null;
  }

  function remember(s) {
    const now = totals(s);
    const before = points.length ? points[points.length - 1].now : null;
    if (before && now.t === before.t) {
      return; // the same moment
    }
    if (before && now.t < before.t) {
      points.length = 0; // another agent
    }
    const per = (name, seconds, scale) => { // a mean over the last seconds
      const from = points.find(p => p.t >= now.t - seconds);
      return from ? Math.max(0, now[name] - from.now[name]) / (now.t - from.t) * scale : null;
    };
    points.push({
      t: now.t, now, intake: per('taken', 7, 1), delivery: per('delivered', 7, 1), backlog: s.backlog, link: per('wire', 11, 1),
      budget: tightest(s), wear: per('written', 61, 3600),
    });
    if (points.length > KEPT) {
      points.shift();
    }
  }

  // --- tables: made anew only when their rows are others ---

  function table(id, title, columns, rows) {
    const place = $(id);
    const key = rows.map(r => r.name).join('\n');
    if (place.rowsKey !== key) {
      place.rowsKey = key;
      const head = columns.map(c => el('th', {scope: 'col', role: 'columnheader'}, c.title));
      const body = rows.map(r => el('tr', {role: 'row'}, ...columns.map((c, i) => i === 0
        ? el('th', {scope: 'row', role: 'rowheader'}) : el('td', {role: 'cell', 'data-label': c.title}))));
      place.rowNodes = body;
      place.replaceChildren(rows.length
        ? el('div', {class: 'box'}, el('table', {role: 'table'}, el('caption', {class: 'hidden'}, title),
          el('thead', {role: 'rowgroup'}, el('tr', {role: 'row'}, ...head)), el('tbody', {role: 'rowgroup'}, ...body)))
        : el('p', {class: 'quiet'}, 'None'));
    }
    rows.forEach((r, y) => columns.forEach((c, x) => {
      const cell = place.rowNodes[y].children[x];
      say(cell, c.of(r));
      if (c.mark) {
        set(cell, 'class', c.mark(r));
      }
    }));
  }

  const state = {title: 'State', of: r => r.fault ? 'fault' : r.last_fault ? 'works, mended ' + duration(r.last_fault.ended_s) + ' ago' : 'works', mark: r => r.fault ? 'bad-text' : 'good-text'};

  function show(s) {
    table('streams', 'Streams', [
      {title: 'Stream', of: r => r.name},
      {title: 'Waiting', of: r => count(r.events)},
      {title: 'Unpacked', of: r => bytes(r.bytes)},
      {title: 'Oldest', of: r => r.events ? duration(r.age_s) : '–'},
      {title: 'Dropped', of: r => count(r.dropped)},
      {title: 'Priority', of: r => String(r.priority)},
    ], s.streams);
    const named = o => entries(o).map(([name, part]) => ({name, ...part}));
    table('drivers', 'Drivers', [
      {title: 'Driver', of: r => r.name},
      {title: 'Type', of: r => r.type},
      {title: 'Came', of: r => count(r.received)},
      {title: 'Stored', of: r => count(r.stored)},
      {title: 'Set aside', of: r => count(r.aside)},
      {title: 'Had to wait', of: r => count(r.refused)},
      state,
    ], named(s.drivers));
    table('uplinks', 'Uplinks', [
      {title: 'Uplink', of: r => r.name},
      {title: 'Type', of: r => r.type},
      {title: 'Delivered', of: r => count(r.sent)},
      {title: 'In flight', of: r => count(r.in_flight)},
      {title: 'Sent again', of: r => count(r.retried)},
      {title: 'On the wire', of: r => bytes(r.wire_sent + r.wire_received)},
      state,
    ], named(s.uplinks));
    showLinks(named(s.links));
    showBoard(s);
    charts.forEach(chart => chart.draw());
  }

  function showLinks(links) {
    $('links-section').hidden = links.length === 0;
    const key = links.map(l => l.name + entries(l.budgets).map(([p]) => p)).join('\n');
    const place = $('links');
    if (place.rowsKey !== key) {
      place.rowsKey = key;
      place.cards = links.map(l => {
        const card = {words: el('p'), rate: el('p', {class: 'quiet'}), budgets: {}};
        const meters = entries(l.budgets).map(([period]) => {
          const label = 'budget-' + l.name + '-' + period;
          const b = card.budgets[period] = {text: el('p', {id: label, class: 'quiet'}), meter: el('meter', {min: 0, high: 0.9, low: 0.7, optimum: 0, 'aria-labelledby': label})};
          return el('div', {}, b.text, b.meter);
        });
        card.node = el('div', {class: 'card'}, el('h3', {}, l.name), card.words, card.rate, ...meters);
        return card;
      });
      place.replaceChildren(...place.cards.map(c => c.node));
    }
    links.forEach((l, i) => {
      const card = place.cards[i];
      say(card.words, l.why ? l.why : 'All priorities go');
      say(card.rate, bytes(l.rate) + '/s' + (l.rate_max ? ', at most ' + bytes(l.rate_max) + '/s' : '') + '; today ' +
        bytes(l.today.sent) + ' sent, ' + bytes(l.today.received) + ' received');
      entries(l.budgets).forEach(([period, b]) => {
        const shown = card.budgets[period];
        say(shown.text, 'Budget of the ' + period + ': ' + bytes(b.spent) + ' of ' + bytes(b.max) + (b.until ? ', until ' + b.until : ''));
        shown.meter.value = Math.min(1, b.spent / b.max);
        say(shown.meter, percent(b.spent / b.max));
      });
    });
  }

  function showBoard(s) {
    const rows = [
      ['Buffer', s.buffer.path + ', ' + bytes(s.buffer.size) + ' of ' + bytes(s.buffer.size_max) + ', ' + percent(s.buffer.used_share) + ' in use'],
      ['Set aside', count(s.aside) + ' events'],
      ['Flash', bytes(s.wear.today.bytes) + ' written today in ' + count(s.wear.today.syncs) + ' syncs' +
        (s.wear.max_per_day ? ', at most ' + bytes(s.wear.max_per_day) : '') +
        (s.wear.life_years ? '; it lasts ' + years(s.wear.life_years) + ' so' : '')],
      ['Memory', bytes(s.memory.resident)],
      ['Longest turn', short.format(s.loop.longest_turn_us / 1000) + ' ms'],
      ['Version', s.version],
    ];
    const place = $('board');
    if (!place.values) {
      place.values = rows.map(() => el('dd'));
      place.replaceChildren(...rows.flatMap(([name], i) => [el('dt', {}, name), place.values[i]]));
    }
    rows.forEach(([, text], i) => say(place.values[i], text));
  }

  // --- what is wrong ---

  // What to do: words around a command.
  const CHECK = ['', 'weir check --online', ' looks at names, connections, logins and rights.'];
  const KEPT_AND_CHECK = ['What comes meanwhile is kept, and it is tried again. ', CHECK[1], CHECK[2]];

  function faultsOf(s) {
    const found = [];
    const add = (where, text, level, advice) => found.push({where, text, level: level || 'bad', advice});
    if (s.why) {
      add(s.state === 'waiting' ? 'Waiting for the buffer' : 'Sources have to wait', s.why);
    }
    if (s.state === 'waiting') {
      return found;
    }
    if (!s.clock.believed) {
      add('Clock', 'It is not believed yet: what comes waits until it is set, or kept by NTP (agent.clock).', 'warn');
    }
    if (s.buffer.unsaved) {
      add('Buffer', 'What was sent since the disk takes nothing is on record in memory only: a restart now sends it again.', 'warn');
    }
    const damage = s.buffer.damage;
    if (damage.replaced + damage.logs > 0) {
      add('Buffer', 'Its file was damaged since the start: ' + count(damage.found) + ' events salvaged, ' + count(damage.lost) +
        ' lost. Look at the medium before it is gone.', 'warn');
    }
    entries(s.uplinks).forEach(([name, u]) => {
      if (u.fault) {
        add('Uplink ' + name, u.fault, 'bad', KEPT_AND_CHECK);
      }
      entries(u.standing).forEach(([stream, why]) => add('Uplink ' + name + ', stream ' + stream, why));
    });
    entries(s.drivers).forEach(([name, d]) => d.fault && add('Driver ' + name, d.fault, 'bad', CHECK));
    entries(s.links).forEach(([name, l]) => l.why && add('Link ' + name, l.why, l.up ? 'warn' : 'bad'));
    s.streams.forEach(stream => {
      if (stream.schema_refused) {
        add('Stream ' + stream.name, 'Its schema is refused, events go on under the one before: ' + (stream.schema_refused.text || 'weir status says why'));
      }
    });
    if (s.aside) {
      add('Set aside', count(s.aside) + ' events: weir aside ls says why each is, weir aside replay tries them again.', 'warn');
    }
    if (s.wear.life_years && s.wear.life_years < 2) {
      add('Flash', 'At this rate the medium lasts ' + years(s.wear.life_years) + ': weir buffer wear says what longer intervals would save.', 'warn');
    }
    return found;
  }

  function showFaults(found) {
    const key = JSON.stringify(found);
    if (key !== told) { // a screen reader reads it out whenever it is another
      told = key;
      $('faults').replaceChildren(...(found.length ? found : [{where: 'Nothing', text: 'All parts work.', level: 'good'}])
        .map(f => el('li', {class: f.level}, el('b', {}, f.where), f.text, ...(f.advice
          ? [el('p', {class: 'quiet'}, f.advice[0], el('code', {}, f.advice[1]), f.advice[2])] : []))));
    }
  }

  function showState(word, level) {
    const badge = $('state');
    say(badge, word);
    set(badge, 'class', 'badge ' + level);
  }

  const words = {running: 'Running', degraded: 'Disk in trouble', waiting: 'Waiting for its disk', stopping: 'Stopping'};

  function take(s) {
    const found = faultsOf(s);
    const works = s.state === 'running';
    say($('agent'), s.agent);
    document.title = s.agent + ' – weir';
    say($('since'), s.started ? 'up ' + duration(Math.floor(s.uptime_s)) + ', since ' + s.started : 'version ' + s.version);
    const faulty = found.some(f => f.level === 'bad');
    showState(works && !s.ready ? 'Sources wait' : works && faulty ? 'Running, with faults' : words[s.state] || s.state,
      !works || !s.ready ? 'bad' : faulty ? 'warn' : 'good');
    showFaults(found);
    $('shown').hidden = s.state === 'waiting';
    if (s.state === 'waiting') {
      points.length = 0;
    } else {
      remember(s);
      show(s);
    }
  }

  // --- asking ---

  function askToken(is) {
    $('login').hidden = !is;
    $('todo').hidden = is;
    if (is) {
      $('shown').hidden = true;
      showState('Token wanted', 'warn');
      say($('since'), '');
    }
  }

  async function ask() {
    try {
      const answer = await fetch('/status', {cache: 'no-store', headers: token ? {Authorization: 'Bearer ' + token} : {}});
      if (answer.status === 401) {
        askToken(true);
        return; // until there is one
      }
      if (!answer.ok) {
        throw new Error(await answer.text());
      }
      askToken(false);
      take(await answer.json());
    } catch (e) {
      showState('No answer', 'bad');
      showFaults([{where: 'The agent does not answer', text: 'What is below was so before. Is weir running? systemctl status weir (' + e.message + ')', level: 'bad'}]);
    }
    if (!paused) {
      timer = setTimeout(ask, EVERY_MS);
    }
  }

  function again() {
    clearTimeout(timer);
    ask();
  }

  $('charts').append(...charts.map(chart => chart.node));
  $('pause').addEventListener('click', () => {
    paused = !paused;
    set($('pause'), 'aria-pressed', String(paused));
    clearTimeout(timer);
    if (!paused) {
      again();
    }
  });
  $('login').addEventListener('submit', event => {
    event.preventDefault();
    token = $('token').value;
    try {
      sessionStorage.setItem('token', token);
    } catch (e) { /* asked again the next time */ }
    again();
  });
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (!document.hidden && !paused) {
      again();
    }
  });
  ask();
})();
