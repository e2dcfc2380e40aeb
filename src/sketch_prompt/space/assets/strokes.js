// Drawings as text for links. The text is the part of an address after "#", which browsers do not send to servers.
// A stroke is { tool, width, points: [[x, y], ...] }, with points in pixels of the canvas.
// The text is a version, a dot, and bytes in base64url: for each stroke one byte (the width, plus 128 for the eraser),
// the number of points, the first point, and the steps to the next points. Numbers have a variable length (LEB128).
const LINK_MARK = "#drawing=";
const LINK_VERSION = "1";
const LINK_CHARACTERS = 6000;
const LINK_STROKES = 400;
const LINK_POINTS = 5000;
const SIDE = 512;
const MAX_WIDTH = 64;
const TOOLS = ["pen", "eraser"];

// Remove the points of a line that are closer to the simplified line than the tolerance (Douglas-Peucker).
function simplified(points, tolerance) {
  if (points.length < 3) return points;
  const [[x1, y1], [x2, y2]] = [points[0], points[points.length - 1]];
  const length = Math.hypot(x2 - x1, y2 - y1);
  let farthest = 0, distance = 0;
  points.forEach(([x, y], i) => {
    const away = length
      ? Math.abs((x2 - x1) * (y1 - y) - (x1 - x) * (y2 - y1)) / length
      : Math.hypot(x - x1, y - y1);
    if (away > distance) [farthest, distance] = [i, away];
  });
  if (distance <= tolerance) return [points[0], points[points.length - 1]];
  const before = simplified(points.slice(0, farthest + 1), tolerance);
  return [...before.slice(0, -1), ...simplified(points.slice(farthest), tolerance)];
}

function strokesAsBytes(strokes, tolerance) {
  const bytes = [];
  const number = (value) => {
    for (; value > 127; value >>= 7) bytes.push((value & 127) | 128);
    bytes.push(value);
  };
  const signed = (value) => number(value < 0 ? -2 * value - 1 : 2 * value);
  for (const { tool, width, points } of strokes) {
    const inside = (value) => Math.min(Math.max(Math.round(value), 0), SIDE);
    const kept = simplified(points, tolerance).map(([x, y]) => [inside(x), inside(y)]);
    bytes.push(128 * TOOLS.indexOf(tool) + Math.min(width, MAX_WIDTH));
    number(kept.length);
    let [x, y] = [0, 0];
    for (const point of kept) {
      signed(point[0] - x);
      signed(point[1] - y);
      [x, y] = point;
    }
  }
  return bytes;
}

// The strokes as the text of a link, or null if they are too long for it.
function strokesAsText(strokes) {
  if (strokes.length > LINK_STROKES) return null;
  for (const tolerance of [0.7, 1.5, 3, 6]) {
    const bytes = strokesAsBytes(strokes, tolerance);
    const text = btoa(String.fromCharCode(...bytes.slice(0, LINK_CHARACTERS)));
    const points = strokes.reduce((sum, { points }) => sum + simplified(points, tolerance).length, 0);
    if (bytes.length < LINK_CHARACTERS && text.length <= LINK_CHARACTERS && points <= LINK_POINTS) {
      return `${LINK_VERSION}.${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
    }
  }
  return null;
}

// The strokes of a link's text. Throws an Error if it is invalid: the text is untrusted.
function textAsStrokes(text) {
  if (text.length > LINK_CHARACTERS + 10) throw new Error("it is too long");
  const [version, content, ...more] = text.split(".");
  if (version !== LINK_VERSION || more.length || !/^[\w-]+$/.test(content ?? "")) throw new Error("it is damaged");
  let bytes;
  try {
    bytes = Array.from(atob(content.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  } catch {
    throw new Error("it is damaged");
  }
  let at = 0, points = 0;
  const byte = () => {
    if (at >= bytes.length) throw new Error("it is cut off");
    return bytes[at++];
  };
  const number = () => {
    let value = 0;
    for (let shift = 0; shift < 21; shift += 7) {
      const next = byte();
      value |= (next & 127) << shift;
      if (next < 128) return value;
    }
    throw new Error("it is damaged");
  };
  const signed = () => {
    const value = number();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  };
  const strokes = [];
  while (at < bytes.length) {
    const head = byte();
    const stroke = { tool: TOOLS[head >> 7], width: head & 127, points: [] };
    const count = number();
    points += count;
    if (!count || strokes.length === LINK_STROKES || points > LINK_POINTS) throw new Error("it is damaged");
    if (stroke.width < 1 || stroke.width > MAX_WIDTH) throw new Error("it is damaged");
    let [x, y] = [0, 0];
    for (let i = 0; i < count; i++) {
      [x, y] = [x + signed(), y + signed()];
      if (x < 0 || y < 0 || x > SIDE || y > SIDE) throw new Error("it is damaged");
      stroke.points.push([x, y]);
    }
    strokes.push(stroke);
  }
  return strokes;
}
