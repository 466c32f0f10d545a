// The report page's scripts (bench/report/page/assets/page/*.js). They are joined in the order of their names into one
// module, so what one declares at its top the others may use: those names are read from the files.
import { readFileSync, readdirSync } from "node:fs";

const FOLDER = "bench/report/page/assets/page";
const text = readdirSync(FOLDER).filter((name) => name.endsWith(".js")).map((name) => readFileSync(`${FOLDER}/${name}`, "utf-8")).join("\n");
const names = [...text.matchAll(/^(?:async )?(?:function|const|let|class) (\w+)/gm)].map((found) => found[1]);
const shared = Object.fromEntries(names.map((name) => [name, "readonly"]));
/** What is declared at a top and named nowhere else is unused, whichever file it is in. */
const used = names.filter((name) => text.match(new RegExp(`\\b${name}\\b`, "g")).length > 1);
const browser = [
  "Blob", "DATA", "IntersectionObserver", "NodeFilter", "Plot", "ResizeObserver", "URL", "URLSearchParams", "addEventListener", "atob", "d3",
  "document", "getComputedStyle", "history", "innerWidth", "localStorage", "location", "navigator", "performance", "setTimeout",
];

export default [
  {
    files: [`${FOLDER}/*.js`],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: { ...Object.fromEntries(browser.map((name) => [name, "readonly"])), ...shared } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-undef": "error", "no-unused-vars": ["error", { varsIgnorePattern: `^(${used.join("|")})$` }], "no-shadow": ["error", { builtinGlobals: false, hoist: "all" }],
      "no-const-assign": "error", "no-dupe-keys": "error", "no-dupe-else-if": "error", "no-duplicate-case": "error", "no-unreachable": "error",
      "no-self-compare": "error", "no-unsafe-negation": "error", "no-unsafe-optional-chaining": "error", "no-empty": ["error", { allowEmptyCatch: true }],
      "no-loss-of-precision": "error", "no-sparse-arrays": "error", "no-template-curly-in-string": "error", "no-use-before-define": "off",
      "array-callback-return": "error", "valid-typeof": "error", "use-isnan": "error", "prefer-const": "error", "no-var": "error", eqeqeq: "error",
      "no-eval": "error", "no-implied-eval": "error", "no-new-func": "error", "no-script-url": "error", "no-param-reassign": "error",
      "object-shorthand": "error", "prefer-template": "error", "prefer-arrow-callback": "error", "no-else-return": "error",
      // Text goes in as text nodes: nothing from a results file may become markup (01-dom.js).
      "no-restricted-properties": ["error",
        { property: "innerHTML", message: "use h()" }, { property: "outerHTML", message: "use h()" },
        { property: "insertAdjacentHTML", message: "use h()" }, { object: "document", property: "write", message: "use h()" }],
      complexity: ["error", 16], "max-lines": ["error", 300],
    },
  },
];
