// Which rows the tree shows, in which order: a function of the tree and of what was asked for.
import { PROBLEM, ROOT, attention } from "./model.js";

/**
 * What a line of the filter asks for: words in the path, `tag:` and `state:`; all must hold,
 * except that of several states one is enough.
 */
export function parseFilter(text) {
  const query = { words: [], tags: [], states: [] };
  for (const word of text.toLowerCase().split(/\s+/).filter(Boolean)) {
    if (word.startsWith("tag:")) query.tags.push(word.slice(4));
    else if (word.startsWith("state:")) query.states.push(word.slice(6));
    else query.words.push(word);
  }
  return query;
}

function matcher(query, states, tag) {
  const wanted = new Set([...states, ...query.states]);
  if (!query.words.length && !query.tags.length && !wanted.size && !tag) return null;
  return (child) => {
    const path = child.path.toLowerCase();
    const isUnhealthy = child.state === "running" && child.healthy === false;
    return (
      query.words.every((word) => path.includes(word)) &&
      query.tags.every((part) => child.tags.some((own) => own.toLowerCase().startsWith(part))) &&
      (!tag || child.tags.includes(tag)) &&
      (!wanted.size || wanted.has(child.state) || (isUnhealthy && wanted.has("unhealthy")))
    );
  };
}

/**
 * Returns `{rows, matches}`. A row is `{path, child, depth, isOpen, problems, isContext, position,
 * siblings}`; `isOpen` is null for what has nothing below. Ancestors of a match are shown as its
 * context, and the filter opens what is collapsed.
 */
export function visibleRows(tree, { filter, states, tag, collapsed, problemsFirst }) {
  const isMatch = matcher(parseFilter(filter), states, tag);
  const about = new Map();
  let matches = 0;

  const survey = (path) => {
    const child = tree.children.get(path);
    const own = attention(child);
    const hit = isMatch === null || isMatch(child);
    if (hit) matches += 1;
    const sum = { worst: own, problems: 0, hit, isShown: hit };
    for (const below of tree.below.get(path) ?? []) {
      const its = survey(below);
      sum.worst = Math.max(sum.worst, its.worst);
      sum.problems += its.problems + (its.own >= PROBLEM ? 1 : 0);
      sum.isShown ||= its.isShown;
    }
    sum.own = own;
    about.set(path, sum);
    return sum;
  };
  const top = tree.below.get(ROOT);
  for (const path of top) survey(path);

  const rows = [];
  const list = (paths, depth) => {
    let shown = paths.filter((path) => about.get(path).isShown);
    if (problemsFirst) shown = shown.toSorted((a, b) => about.get(b).worst - about.get(a).worst);
    shown.forEach((path, index) => {
      const below = tree.below.get(path);
      const sum = about.get(path);
      const isOpen = below?.length ? isMatch !== null || !collapsed.has(path) : null;
      rows.push({
        path,
        child: tree.children.get(path),
        depth,
        isOpen,
        problems: sum.problems,
        isContext: !sum.hit,
        position: index + 1,
        siblings: shown.length,
      });
      if (isOpen) list(below, depth + 1);
    });
  };
  list(top, 1);
  return { rows, matches, isFiltered: isMatch !== null };
}
