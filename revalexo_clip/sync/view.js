"use strict";
// The page of `rxclip view`: curves, labels and a cursor that follows the video, or the frames.
(() => {
  const data = JSON.parse(document.getElementById("view-data").textContent);
  const film = document.querySelector(".view video");
  const still = document.querySelector(".view .picture img");
  const tracks = document.querySelector(".tracks");
  const cursor = tracks.querySelector(".cursor");
  const slider = document.querySelector(".view input[type=range]");
  const now = document.querySelector(".view .now");
  const clock = document.querySelector(".view .clock");
  const play = document.getElementById("play");
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const times = floats(data.time);
  const rows = data.tracks.map((track) => ({ ...track, values: track.values.map(floats) }));
  for (const track of rows) {
    let low = Infinity, high = -Infinity;
    for (const axis of track.values) for (const value of axis) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const margin = 0.06 * (high - low || 1);
    track.low = low - margin;
    track.high = high + margin;
  }

  let length = 0; // of the part that is shown [s]; 0 shows all
  let time = data.begin;
  let started = null; // [clock, time] at which the frames began to play

  const span = () => length ? [time - length / 2, time + length / 2] : [data.begin, data.end];
  const at = (seconds, width) => { const [from, to] = span(); return (seconds - from) / (to - from) * width; };

  function prepared(canvas) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const pen = canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return [pen, width, height];
  }

  function first(seconds) { // the first row at a time, or after it
    let low = 0, high = times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (times[middle] < seconds) low = middle + 1; else high = middle;
    }
    return low;
  }

  function drawValues(canvas, track) {
    const [pen, width, height] = prepared(canvas), [from, to] = span();
    const begin = Math.max(first(from) - 1, 0), end = Math.min(first(to) + 1, times.length);
    const y = (value) => height - (value - track.low) / (track.high - track.low) * height;
    if (track.low < 0 && track.high > 0) {
      pen.strokeStyle = colour("grid");
      pen.lineWidth = 1;
      pen.beginPath(); pen.moveTo(0, y(0)); pen.lineTo(width, y(0)); pen.stroke();
    }
    track.values.forEach((axis, number) => {
      pen.strokeStyle = colour(["c1", "c2", "c3"][number]);
      pen.lineWidth = 1.2;
      pen.beginPath();
      let pen_is_up = true;
      for (let row = begin; row < end; row += 1) {
        if (Number.isNaN(axis[row])) { pen_is_up = true; continue; }
        if (pen_is_up) pen.moveTo(at(times[row], width), y(axis[row])); else pen.lineTo(at(times[row], width), y(axis[row]));
        pen_is_up = false;
      }
      pen.stroke();
    });
  }

  function drawLabels(canvas, labels) {
    const [pen, width, height] = prepared(canvas);
    pen.font = "12px system-ui, sans-serif";
    pen.textBaseline = "middle";
    for (const [from, to, name, number] of labels) {
      const left = at(from, width), right = Math.min(at(to, width), width);
      if (right < 0 || left > width) continue;
      pen.fillStyle = colour(`c${number % 8 + 1}`);
      pen.globalAlpha = 0.28;
      pen.fillRect(left, 0, right - left, height);
      pen.globalAlpha = 1;
      pen.fillRect(left, 0, 2, height);
      pen.save();
      pen.beginPath(); pen.rect(left, 0, right - left, height); pen.clip();
      pen.fillStyle = colour("ink");
      pen.fillText(name, Math.max(left, 0) + 7, height / 2);
      pen.restore();
    }
  }

  function drawAxis(canvas) {
    const [pen, width, height] = prepared(canvas), [from, to] = span();
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600].find((one) => (to - from) / one <= 12) || 1200;
    pen.font = "11px system-ui, sans-serif";
    pen.fillStyle = colour("muted");
    pen.textAlign = "center";
    for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) {
      const x = at(tick, width);
      pen.fillRect(x, 0, 1, 4);
      if (x > 12 && x < width - 14) pen.fillText(`${+tick.toFixed(2)} s`, x, height - 3);
    }
  }

  function drawAll() {
    for (const canvas of tracks.querySelectorAll("canvas")) {
      const kind = canvas.dataset.kind;
      if (kind === "values") drawValues(canvas, rows[canvas.dataset.place]);
      else if (kind === "labels") drawLabels(canvas, data.labels[canvas.dataset.place].segments);
      else drawAxis(canvas);
    }
  }

  function place() {
    const label = (data.labels[0] ? data.labels[0].segments : []).find(([from, to]) => from <= time && time < to);
    now.textContent = label ? label[2] : "";
    clock.textContent = `${time.toFixed(2)} s of ${data.end.toFixed(2)} s`;
    slider.value = time;
    cursor.style.transform = `translateX(${at(time, tracks.clientWidth)}px)`;
    if (length) drawAll();
    if (still && data.frames.length) {
      const number = Math.min(Math.max(Math.round((time - data.first_frame) * data.frame_rate), 0), data.frames.length - 1);
      const source = `data:image/jpeg;base64,${data.frames[number]}`;
      if (still.dataset.number !== String(number)) { still.src = source; still.dataset.number = number; }
    }
  }

  function seek(seconds) {
    time = Math.min(Math.max(seconds, data.begin), data.end);
    if (film) film.currentTime = time;
    started = started && [performance.now(), time];
    place();
  }

  const playing = () => film ? !film.paused : started !== null;

  function toggle() {
    if (film) { if (film.paused) film.play(); else film.pause(); }
    else started = started ? null : [performance.now(), time >= data.end ? data.begin : time];
  }

  function loop() {
    const before = time;
    if (film) time = film.currentTime;
    else if (started) {
      time = Math.min(started[1] + (performance.now() - started[0]) / 1000, data.end);
      if (time >= data.end) started = null;
    }
    if (time !== before) place();
    play.textContent = playing() ? "Pause" : "Play";
    requestAnimationFrame(loop);
  }

  play.addEventListener("click", toggle);
  slider.addEventListener("input", () => seek(Number(slider.value)));
  const point = (event) => {
    const box = tracks.getBoundingClientRect(), [from, to] = span();
    seek(from + (event.clientX - box.left) / box.width * (to - from));
  };
  tracks.addEventListener("pointerdown", (event) => { tracks.setPointerCapture(event.pointerId); point(event); });
  tracks.addEventListener("pointermove", (event) => { if (event.buttons === 1) point(event); });
  for (const button of document.querySelectorAll("[data-length]")) {
    button.addEventListener("click", () => {
      length = Number(button.dataset.length);
      for (const other of document.querySelectorAll("[data-length]")) other.setAttribute("aria-pressed", other === button);
      drawAll();
      place();
    });
  }
  document.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement && event.key !== " ") return;
    const step = event.shiftKey ? 1 : data.step;
    if (event.key === " " && !(event.target instanceof HTMLButtonElement)) { event.preventDefault(); toggle(); }
    else if (event.key === "ArrowRight") seek(time + step);
    else if (event.key === "ArrowLeft") seek(time - step);
  });
  window.addEventListener("resize", () => { drawAll(); place(); });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  const asked = /^#t=([\d.]+)$/.exec(location.hash);
  drawAll();
  if (asked) seek(Number(asked[1])); else place();
  requestAnimationFrame(loop);
})();
