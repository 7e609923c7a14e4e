// Typeset what the Markdown extension has marked as mathematics; nothing is loaded from elsewhere.
document$.subscribe(() => {
  const text = (node) => (node?.nodeType === Node.TEXT_NODE ? node.data : "");
  const beside = (mark) => Object.assign(document.createElement("span"), { className: "beside", textContent: mark });
  for (const element of document.querySelectorAll(".arithmatex")) {
    const display = element.tagName === "DIV";
    katex.render(element.textContent.trim().slice(2, -2), element, { displayMode: display });
    const parts = element.querySelector(".katex-html")?.children;
    if (display || !parts?.length) continue;
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
