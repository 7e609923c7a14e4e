// Typeset what the Markdown extension has marked as mathematics; nothing is loaded from elsewhere.
document$.subscribe(() => {
  for (const element of document.querySelectorAll(".arithmatex")) {
    const text = element.textContent.trim();
    katex.render(text.slice(2, -2), element, { displayMode: element.tagName === "DIV" });
    // A browser may break a line between a formula and the comma after it: put it in the formula.
    const end = element.querySelector(".katex-html > :last-child");
    const after = element.nextSibling;
    const mark = after?.nodeType === Node.TEXT_NODE && after.data.match(/^[,.;:?!)]+/);
    if (end && mark && element.tagName === "SPAN") {
      end.append(mark[0]);
      after.data = after.data.slice(mark[0].length);
    }
  }
});
