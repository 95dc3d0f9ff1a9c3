// The vendored libraries, which are classic scripts: Preact with htm, dagre and uPlot.
const {
  html, render, createContext, useState, useReducer, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useErrorBoundary,
} = globalThis.htmPreact;
const dagre = globalThis.dagre;
const uPlot = globalThis.uPlot;

export {
  html, render, createContext, useState, useReducer, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useContext, useErrorBoundary, dagre, uPlot,
};
