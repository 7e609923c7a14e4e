// Typeset what the Markdown extension has marked as mathematics; nothing is loaded from elsewhere.
document$.subscribe(() => {
  const text = (node) => (node?.nodeType === Node.TEXT_NODE ? node.data : "");
  const beside = (mark) => Object.assign(document.createElement("span"), { className: "beside", textContent: mark });
  for (const element of document.querySelectorAll(".arithmatex")) {
    const display = element.tagName === "DIV";
    const tex = element.textContent.trim().slice(2, -2);
    katex.render(tex, element, { displayMode: display });
    const parts = element.querySelector(".katex-html")?.children;
    if (display || !parts?.length) continue;
    if (tex.length <= 20) element.style.whiteSpace = "nowrap"; // "n = 1,000" stays on one line
    // A browser may break a line between a formula and the mark beside it: put it into the formula.
    const { previousSibling: before, nextSibling: after } = element;
    const [opening] = text(before).match(/[("]+$/) ?? [""];
    const [closing] = text(after).match(/^[,.;:?!)"]+/) ?? [""];
    if (opening) before.data = before.data.slice(0, -opening.length);
    if (closing) after.data = after.data.slice(closing.length);
    parts[0].prepend(beside(opening));
    parts[parts.length - 1].append(beside(closing));
  }
});
