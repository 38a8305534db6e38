/* Where a picture is drawn: on a canvas, as SVG, or nowhere (to know its height first). All measure text alike, and
   text reaches the SVG as text nodes only. Knows nothing about comparisons. */

function textMeasure() {
  const pen = document.createElement("canvas").getContext("2d");
  return (text, font) => {
    pen.font = font;
    return pen.measureText(text).width;
  };
}

function silentPen(measure) {
  return { measure, text() {}, box() {}, line() {} };
}

function canvasPen(measure, pen) {
  return {
    measure,
    text(text, x, y, font, colour) {
      Object.assign(pen, { font, fillStyle: colour });
      pen.fillText(text, x, y);
    },
    box(x, y, width, height, colour) {
      pen.fillStyle = colour;
      pen.fillRect(x, y, width, height);
    },
    line(from, to, y, colour, dash) {
      Object.assign(pen, { strokeStyle: colour, lineWidth: 2.5 });
      pen.setLineDash(dash);
      pen.beginPath();
      pen.moveTo(from, y);
      pen.lineTo(to, y);
      pen.stroke();
      pen.setLineDash([]);
    },
  };
}

/* Its `root` is the SVG element; blanks are kept, so that a copied line of it is the text. */
function svgPen(measure, width, height) {
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height });
  return {
    root,
    measure,
    text(text, x, y, font, colour) {
      const [, weight, size, family] = /^(?:(\d+) )?([\d.]+px) (.*)$/u.exec(font); // attributes: a page's policy may forbid styles
      root.append(svg("text", { x, y, fill: colour, "font-family": family, "font-size": size, "font-weight": weight, "xml:space": "preserve" }, text));
    },
    box(x, y, wide, tall, colour) {
      root.append(svg("rect", { x, y, width: Math.max(0, wide), height: tall, fill: colour }));
    },
    line(from, to, y, colour, dash) {
      root.append(svg("line", { x1: from, x2: to, y1: y, y2: y, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash.join(" ") || "none" }));
    },
  };
}
