// One WebSocket carries the numbers (text) and the pictures of all cameras (binary): browsers open
// six connections to a host at most, so a stream of its own per camera would stop at six.
//
// A picture comes only when asked for. We ask for a camera's next one when the last has been drawn,
// and not for cameras that nobody sees.

const RETRY_MS = 2000;
const OLD_S = 3; // a live camera gives results more often than this
const GAP_PX = 12;
const SMALLEST_PX = 280; // a narrower picture says too little: scroll instead
const TITLES = { connecting: "connecting", ended: "ended", live: "waiting for the first picture" };

const main = document.querySelector("#cameras");
const cameras = new Map(); // name → Camera
let socket;

class Camera {
  constructor(name) {
    this.name = name;
    this.asked = false;
    this.drawn = false;
    this.seen = false;
    this.element = document.querySelector("#camera").content.cloneNode(true).firstElementChild;
    this.element.dataset.name = name;
    this.find("h2").textContent = this.find("h2").title = name;
    this.canvas = this.find("canvas");
    this.view = this.find(".view");
    this.view.addEventListener("click", (event) => {
      event.preventDefault();
      if (fullName() === this.name) leaveFull();
      else location.hash = `#${encodeURIComponent(name)}`;
    });
    this.find(".close").addEventListener("click", leaveFull);
    main.append(this.element);
    watcher.observe(this.element);
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  remove() {
    watcher.unobserve(this.element);
    this.element.remove();
  }

  ask() {
    const visible = this.seen && !document.hidden && [null, this.name].includes(fullName());
    if (!visible || this.asked || socket.readyState !== WebSocket.OPEN) return;
    this.asked = true;
    socket.send(JSON.stringify({ pictures: [this.name] }));
  }

  async draw(jpeg, frame) {
    try {
      const picture = await createImageBitmap(jpeg);
      if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
        this.canvas.width = picture.width;
        this.canvas.height = picture.height;
      }
      this.canvas.getContext("2d").drawImage(picture, 0, 0);
      picture.close();
      this.canvas.dataset.frame = frame;
      if (!this.drawn) this.find(".overlay").hidden = this.element.dataset.state === "live";
      this.drawn = true;
    } finally {
      this.asked = false;
      this.ask();
    }
  }

  show(numbers) {
    const { state, reason, age_s: age } = numbers;
    const live = state === "live";
    this.element.dataset.state = state;
    this.element.classList.toggle("dim", !live);
    this.find(".badge").textContent = state;

    const [title, text] = this.find(".overlay").children;
    this.find(".overlay").hidden = live && this.drawn;
    title.textContent = TITLES[state] ?? "no signal";
    text.textContent = state in TITLES ? reason : state + (reason && ` (${reason})`);

    const old = live && this.drawn && age > OLD_S;
    this.find(".note").hidden = !old;
    this.find(".note").textContent = old ? `no result for ${Math.floor(age)} s` : "";
    this.canvas.ariaLabel = `Picture of ${this.name}, ${state}`;

    fill(this.element, numbers);
    const drops = Object.entries(numbers.drops).filter(([, count]) => count > 0);
    const causes = drops.map(([cause, count]) => `${whole(count)} ${cause.replaceAll("_", " ")}`);
    const dropped = this.find(".drops");
    dropped.textContent = dropped.title = causes.length ? `dropped ${causes.join(", ")}` : "no drops";
    this.find(".reconnects").textContent = plural(numbers.reconnects, "reconnect");
  }
}

// Numbers -----------------------------------------------------------------------------------------
const sum = (values) => values.reduce((total, value) => total + value, 0);
const whole = (value) => value.toLocaleString("en");
const plural = (count, noun) => `${whole(count)} ${noun}${count === 1 ? "" : "s"}`;
const FORMATS = {
  fps_in: (value) => [value.toFixed(1), " fps"],
  fps_out: (value) => [value.toFixed(1), " fps"],
  latency_p50_ms: milliseconds,
  latency_p95_ms: milliseconds,
  dropped: (value) => [whole(value), ""],
};

function milliseconds(value) {
  if (value === null) return ["–", ""];
  return value < 9999.5 ? [value.toFixed(0), " ms"] : [(value / 1000).toFixed(1), " s"];
}

function fill(element, numbers) {
  for (const cell of element.querySelectorAll("[data-number]")) {
    const [value, unit] = FORMATS[cell.dataset.number](numbers[cell.dataset.number]);
    const small = document.createElement("small");
    small.textContent = unit;
    cell.replaceChildren(value, small);
  }
}

function showNumbers(sources) {
  const names = new Set(sources.map((numbers) => numbers.source));
  for (const [name, camera] of cameras) {
    if (!names.has(name)) {
      camera.remove();
      cameras.delete(name);
    }
  }
  for (const numbers of sources) {
    if (!cameras.has(numbers.source)) cameras.set(numbers.source, new Camera(numbers.source));
    cameras.get(numbers.source).show(numbers);
  }
  const live = sources.filter(({ state }) => state === "live").length;
  const latencies = sources.map((numbers) => numbers.latency_p95_ms ?? -1);
  fill(document.querySelector("#totals"), {
    fps_in: sum(sources.map((numbers) => numbers.fps_in)),
    fps_out: sum(sources.map((numbers) => numbers.fps_out)),
    latency_p95_ms: Math.max(-1, ...latencies) < 0 ? null : Math.max(...latencies),
    dropped: sum(sources.flatMap(({ drops }) => Object.values(drops))),
  });
  document.querySelector("#totals").hidden = false;
  say(`${live} of ${plural(sources.length, "camera")} live`);
  document.title = `${live}/${sources.length} live · tridet`;
  arrange();
}

function say(text) {
  // Written only when it changes, for a screen reader would read it out each time.
  const summary = document.querySelector("#summary");
  if (summary.textContent !== text) summary.textContent = text;
}

// Layout ------------------------------------------------------------------------------------------
function arrange() {
  const count = cameras.size;
  if (!count || fullName() !== null) return;
  const [{ element, view }] = cameras.values();
  const width = main.clientWidth - 32;
  const height = window.innerHeight - main.offsetTop - 28;
  const chrome = element.offsetHeight - view.offsetHeight; // name, state and numbers
  const sizes = Array.from({ length: count }, (_, index) => {
    const columns = index + 1;
    const rows = Math.ceil(count / columns);
    const room = (height - GAP_PX * (rows - 1)) / rows - chrome;
    return Math.min((width - GAP_PX * (columns - 1)) / columns, (room * 16) / 9);
  });
  const largest = Math.max(...sizes);
  main.classList.toggle("scrolls", largest < SMALLEST_PX || window.innerWidth < 700);
  const columns = sizes.indexOf(largest) + 1;
  // No taller than a 4:3 picture needs.
  const tallest = ((width - GAP_PX * (columns - 1)) / columns) * 0.75 + chrome;
  main.style.setProperty("--columns", columns);
  main.style.setProperty("--tallest", `${tallest}px`);
}

// One camera, full size ---------------------------------------------------------------------------
function fullName() {
  const name = decodeURIComponent(location.hash.slice(1));
  return cameras.has(name) ? name : null;
}

function leaveFull() {
  history.pushState(null, "", location.pathname);
  showFull();
}

function showFull() {
  const full = fullName();
  document.querySelector("header").inert = full !== null;
  for (const { name, element, view } of cameras.values()) {
    element.classList.toggle("full", name === full);
    element.inert = full !== null && name !== full;
    view.href = name === full ? "#" : `#${encodeURIComponent(name)}`;
    view.ariaLabel = name === full ? "Show all cameras" : `Show ${name} full size`;
  }
  arrange();
  askAll();
}

const askAll = () => cameras.forEach((camera) => camera.ask());

const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const camera = cameras.get(target.dataset.name);
    if (camera) camera.seen = isIntersecting;
  }
  askAll();
});

window.addEventListener("hashchange", showFull);
window.addEventListener("popstate", showFull);
window.addEventListener("resize", arrange);
document.addEventListener("visibilitychange", askAll);
document.addEventListener("keydown", (event) => {
  const full = fullName();
  if (full === null) return;
  const names = [...cameras.keys()];
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (event.key === "Escape") leaveFull();
  else if (step) {
    const next = names.at((names.indexOf(full) + step) % names.length);
    location.replace(`#${encodeURIComponent(next)}`);
  }
});

// Connection --------------------------------------------------------------------------------------
function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  socket.onmessage = ({ data }) => (typeof data === "string" ? onNumbers(data) : onPicture(data));
  socket.onclose = ({ code }) => {
    const what = code === 1001 ? "tridet has stopped" : "no connection to tridet";
    document.querySelector("#lost").textContent = `${what}; the pictures below are the last ones`;
    document.querySelector("#lost").hidden = false;
    document.title = "not connected · tridet";
    for (const camera of cameras.values()) {
      camera.asked = false;
      camera.element.classList.add("dim");
    }
    setTimeout(connect, RETRY_MS);
  };
}

function onNumbers(text) {
  const before = cameras.size;
  document.querySelector("#lost").hidden = true;
  showNumbers(JSON.parse(text).sources);
  if (cameras.size !== before) showFull();
  askAll();
}

function onPicture(message) {
  // A length as two bytes, a JSON header of that length, a JPEG.
  const length = new DataView(message).getUint16(0);
  const header = JSON.parse(new TextDecoder().decode(message.slice(2, 2 + length)));
  const jpeg = new Blob([message.slice(2 + length)], { type: "image/jpeg" });
  cameras.get(header.source)?.draw(jpeg, header.frame);
}

connect();
