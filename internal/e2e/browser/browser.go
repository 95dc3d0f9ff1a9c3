// Package browser lets tests use a page as a person does, in a real Chromium: by roles and names, mouse and keyboard. It records
// all that a page must not do: requests that leave the machine, errors in the console, violations of the content security policy.
package browser

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// patience is how long a page may take for anything. A busy machine is slow, so a test fails by what it sees, and by time only where
// something hangs.
const patience = 3 * time.Minute

// Browser is a Chromium process. It ends with this process at the latest.
type Browser struct {
	ctx      context.Context
	close    func()
	pictures string

	mu   sync.Mutex
	idle []*tab
}

// tab is a tab with cookies and storage of its own. The pages of one test after another use it, because a new one costs more than a
// second of a processor.
type tab struct {
	ctx    context.Context
	cancel func()

	mu   sync.Mutex
	page *Page // that uses it now
}

func (t *tab) use(p *Page) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.page = p
}

// listen hands an event to the page. It runs between the messages of the browser, and must not wait for one.
func (t *tab) listen(ev any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.page != nil {
		t.page.listen(ev)
	}
}

// Start starts the browser of this path. A page of a test that fails leaves a picture in the folder.
func Start(path, pictures string) (*Browser, error) {
	ctx, end := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		// The browser itself cannot leave the machine, whatever a page asks for.
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("in-process-gpu", true),
		// Each process of the browser costs the time of a processor: none in advance, none for each site, none for a page that was left.
		chromedp.Flag("disable-features", "Translate,BlinkGenPropertyTrees,SpareRendererForSitePerProcess,IsolateOrigins,site-per-process,BackForwardCache"),
		chromedp.Flag("disable-site-isolation-trials", true),
		chromedp.Flag("enable-blink-features", "ComputedAccessibilityInfo"), // computedRole and computedName of elements
		chromedp.Flag("lang", "en-US"),
		chromedp.Flag("hide-scrollbars", false), // a scrollbar takes width from the page, as it does for most people
	)...)
	ctx, cancel := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	b := &Browser{ctx: ctx, pictures: pictures, close: func() { cancel(); end() }}
	if err := first(ctx); err != nil {
		b.close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

// first makes the first call with a context. The browser, or the tab, ends with this context, so it cannot have a deadline.
func first(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- chromedp.Do(ctx) }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		return fmt.Errorf("not within %s", patience)
	}
}

// Close ends the browser and removes its files.
func (b *Browser) Close() { b.close() }

// Page is a tab that a test has to itself until it ends. Its methods fail the test.
type Page struct {
	t        testing.TB
	ctx      context.Context
	pictures string

	mu       sync.Mutex
	requests []string
	urls     map[network.RequestID]string
	problems []string
	allowed  []*regexp.Regexp
	answers  map[string]func() (status int, body []byte) // by part of the URL
	look     Look
	chosen   cdp.BackendNodeID // the field whose file chooser is open
}

// Look is how a page looks.
type Look struct {
	Width, Height int
	Dark          bool
}

//go:embed page.js
var script string

// Open opens an empty page of 1280 by 800 pixels.
func (b *Browser) Open(t testing.TB) *Page {
	t.Helper()
	p := &Page{t: t, pictures: b.pictures, urls: map[network.RequestID]string{}, answers: map[string]func() (int, []byte){}}
	free := b.take(p)
	p.ctx = free.ctx
	t.Cleanup(func() {
		p.end()
		b.giveBack(free, p)
	})
	p.Look(Look{})
	return p
}

// take finds a tab that no page uses, or makes one.
func (b *Browser) take(p *Page) *tab {
	p.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.idle); n > 0 {
		free := b.idle[n-1]
		b.idle = b.idle[:n-1]
		free.use(p)
		return free
	}
	fresh := &tab{page: p}
	fresh.ctx, fresh.cancel = chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(fresh.listen))
	if err := first(fresh.ctx); err != nil {
		fresh.cancel()
		p.t.Fatalf("open a tab: %v", err)
	}
	p.ctx = fresh.ctx
	call(p, network.Enable, network.EnableParams{})
	call(p, log.Enable, cdp.Empty{})
	// Otherwise each question for a role or a name would build the accessibility tree of the page anew.
	call(p, accessibility.Enable, cdp.Empty{})
	call(p, runtime.AddBinding, runtime.AddBindingParams{Name: "reportToTest"})
	call(p, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	return fresh
}

// giveBack empties the tab for the next page. After a failure, nobody knows how it is, so it goes.
func (b *Browser) giveBack(used *tab, p *Page) {
	p.t.Helper()
	if p.t.Failed() || b.ctx.Err() != nil {
		used.use(nil)
		used.cancel()
		return
	}
	if len(p.answers) > 0 {
		call(p, fetch.Disable, cdp.Empty{})
	}
	p.Goto("about:blank")
	used.use(nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle = append(b.idle, used)
}

// call makes a call of the DevTools protocol.
func call[P, R any](p *Page, command cdp.Command[P, R], params P) R {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	result, err := chromedp.Call(ctx, command, params)
	if err != nil {
		p.t.Fatalf("%s: %v", command.Method, err)
	}
	return result
}

func (p *Page) do(what string, action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, action); err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// end checks what was recorded, and takes a picture if the test has failed.
func (p *Page) end() {
	p.t.Helper()
	for _, problem := range p.Problems() {
		p.t.Error(problem)
	}
	if !p.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	if text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.slice(0, 4000)`)); err == nil {
		p.t.Logf("the page at the end: %s", text)
	}
	file := filepath.Join(p.pictures, regexp.MustCompile(`[^\w-]+`).ReplaceAllString(p.t.Name(), "-")+".png")
	if picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil && os.MkdirAll(p.pictures, 0o755) == nil && os.WriteFile(file, picture, 0o644) == nil {
		p.t.Logf("a picture of it: %s", file)
	}
}

// listen records events. See tab.listen.
func (p *Page) listen(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		p.urls[ev.RequestID] = ev.Request.URL
		p.request(ev.Request.Method, ev.Request.URL)
	case *network.EventWebSocketCreated:
		p.request("GET", ev.URL)
	case *runtime.EventConsoleAPICalled:
		if ev.Type == "error" || ev.Type == "warning" || ev.Type == "assert" {
			var words []string
			for _, arg := range ev.Args {
				words = append(words, strings.Trim(string(arg.Value), `"`)+arg.Description)
			}
			p.problems = append(p.problems, fmt.Sprintf("the page writes to the console: %s: %s", ev.Type, strings.Join(words, " ")))
		}
	case *runtime.EventExceptionThrown:
		text := ev.ExceptionDetails.Text
		if exception := ev.ExceptionDetails.Exception; exception != nil {
			text += " " + exception.Description
		}
		p.problems = append(p.problems, "the page throws: "+text)
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			p.problems = append(p.problems, fmt.Sprintf("the browser complains: %s: %s %s", ev.Entry.Source, ev.Entry.Text, ev.Entry.URL))
		}
	case *runtime.EventBindingCalled:
		p.problems = append(p.problems, ev.Payload)
	case *page.EventJavascriptDialogOpening:
		p.problems = append(p.problems, fmt.Sprintf("the page opens a %s: %s", ev.Type, ev.Message))
		go chromedp.Call(p.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{}) // it would block the page
	case *page.EventFileChooserOpened:
		p.chosen = ev.BackendNodeID
	case *fetch.EventRequestPaused:
		go p.answer(ev)
	}
}

// request records a request.
func (p *Page) request(method, address string) {
	p.requests = append(p.requests, method+" "+address)
	if at, err := url.Parse(address); err == nil {
		switch at.Scheme {
		case "data", "blob", "about", "file", "chrome-error":
			return
		}
		if slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, at.Hostname()) {
			return
		}
	}
	p.problems = append(p.problems, "a request leaves the machine: "+method+" "+address)
}

// Allow makes what matches the expression no problem, for the rest of the test.
func (p *Page) Allow(expression string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.allowed = append(p.allowed, regexp.MustCompile(expression))
}

// Problems is what the page has done so far that it must not do.
func (p *Page) Problems() (problems []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		if !slices.Contains(problems, problem) && !slices.ContainsFunc(p.allowed, func(e *regexp.Regexp) bool { return e.MatchString(problem) }) {
			problems = append(problems, problem)
		}
	}
	return problems
}

// Requests is the requests so far, as "GET http://...".
func (p *Page) Requests() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Answer answers requests to an address that contains this part, instead of their server, until it is nil.
func (p *Page) Answer(part string, with func() (status int, body []byte)) {
	p.t.Helper()
	p.mu.Lock()
	if with == nil {
		delete(p.answers, part)
	} else {
		p.answers[part] = with
	}
	var patterns []*fetch.RequestPattern
	for part := range p.answers {
		patterns = append(patterns, &fetch.RequestPattern{URLPattern: "*" + strings.ReplaceAll(part, "?", `\?`) + "*"})
	}
	p.mu.Unlock()
	if patterns == nil {
		call(p, fetch.Disable, cdp.Empty{})
	} else {
		call(p, fetch.Enable, fetch.EnableParams{Patterns: patterns})
	}
}

func (p *Page) answer(ev *fetch.EventRequestPaused) {
	p.mu.Lock()
	var with func() (int, []byte)
	for part, answer := range p.answers {
		if strings.Contains(ev.Request.URL, part) {
			with = answer
		}
	}
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	var err error
	if with == nil {
		_, err = chromedp.Call(ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: ev.RequestID})
	} else {
		status, body := with()
		_, err = chromedp.Call(ctx, fetch.FulfillRequest, fetch.FulfillRequestParams{RequestID: ev.RequestID, ResponseCode: int64(status), Body: body,
			ResponseHeaders: []*fetch.HeaderEntry{{Name: "Content-Type", Value: "application/json"}}})
	}
	if err != nil && p.ctx.Err() == nil && !strings.Contains(err.Error(), "Invalid InterceptionId") { // the page has left meanwhile
		p.mu.Lock()
		defer p.mu.Unlock()
		p.problems = append(p.problems, fmt.Sprintf("answer %s: %v", ev.Request.URL, err))
	}
}

// Look changes how the page looks.
func (p *Page) Look(look Look) {
	p.t.Helper()
	if look.Width == 0 {
		look.Width = 1280
	}
	if look.Height == 0 {
		look.Height = 800
	}
	scheme := "light"
	if look.Dark {
		scheme = "dark"
	}
	if look == p.look {
		return
	}
	p.look = look
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(look.Width), Height: int64(look.Height), DeviceScaleFactor: 1})
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
}

// Goto opens an address and waits until the document is complete.
func (p *Page) Goto(address string) {
	p.t.Helper()
	p.do("open "+address, chromedp.Navigate(address))
}

// Eval is the value of an expression in the page.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	value, err := eval[T](p, expression)
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func eval[T any](p *Page, expression string) (value T, err error) {
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Wait waits until an expression is true in the page.
func (p *Page) Wait(what, expression string) {
	p.t.Helper()
	wait := 20 * time.Millisecond
	for deadline := time.Now().Add(patience); ; wait = min(2*wait, 200*time.Millisecond) {
		done, err := eval[bool](p, "!!("+expression+")")
		if done && err == nil {
			return
		}
		// A page whose script has failed has nothing to wait for.
		if i := slices.IndexFunc(p.Problems(), func(s string) bool { return strings.HasPrefix(s, "the page ") }); i >= 0 {
			p.t.Fatalf("%s: %s", what, p.Problems()[i])
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not within %s: %s: %v", what, patience, expression, err)
		}
		time.Sleep(wait)
	}
}

// Settle waits until the page has drawn what it knows.
func (p *Page) Settle() {
	p.t.Helper()
	Eval[any](p, "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(null), 50))))")
}

// Count is the number of elements that a CSS selector selects.
func (p *Page) Count(selector string) int {
	p.t.Helper()
	return Eval[int](p, "document.querySelectorAll("+quote(selector)+").length")
}

// Text is what a person can read on the page.
func (p *Page) Text() string {
	p.t.Helper()
	return Eval[string](p, "document.body.innerText")
}

// WaitText waits until the page shows a text. White space counts as one space.
func (p *Page) WaitText(text string) {
	p.t.Helper()
	p.Wait("the page to show "+text, "forTest.text().includes("+quote(text)+")")
}

// WaitNoText waits until the page does not show a text.
func (p *Page) WaitNoText(text string) {
	p.t.Helper()
	p.Wait("the page not to show "+text, "!forTest.text().includes("+quote(text)+")")
}

// Has tells whether there is an element of this role and name to use now.
func (p *Page) Has(role, name string) bool {
	p.t.Helper()
	return Eval[bool](p, fmt.Sprintf("!!forTest.find(%s, %s)", quote(role), quote(name)))
}

// WaitFor waits until there is an element of this role and name that can be used. A name in slashes is a regular expression.
func (p *Page) WaitFor(role, name string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("a %s %q", role, name), fmt.Sprintf("forTest.find(%s, %s)", quote(role), quote(name)))
}

// Click clicks on the element of this role and name once it can be used.
func (p *Page) Click(role, name string) {
	p.t.Helper()
	p.WaitFor(role, name)
	at := p.point(role, name)
	p.do("click on "+name, chromedp.MouseClickXY(at[0], at[1]))
}

// point scrolls to an element, and is where a person would click on it. It waits until nothing else is there.
func (p *Page) point(role, name string) [2]float64 {
	p.t.Helper()
	point := fmt.Sprintf("forTest.point(%s, %s)", quote(role), quote(name))
	p.Wait(fmt.Sprintf("%s %q to be on top", role, name), point)
	return Eval[[2]float64](p, point)
}

// Drop drops files on the element.
func (p *Page) Drop(role, name string, files ...string) {
	p.t.Helper()
	p.WaitFor(role, name)
	p.dropAt(p.point(role, name), files)
}

func (p *Page) dropAt(at [2]float64, files []string) {
	p.t.Helper()
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		call(p, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: at[0], Y: at[1], Data: &input.DragData{
			Items: []*input.DragDataItem{}, Files: files, DragOperationsMask: 1}})
	}
}

// DropAt drops files on the first element of a CSS selector.
func (p *Page) DropAt(selector string, files ...string) {
	p.t.Helper()
	p.Wait(selector, "document.querySelector("+quote(selector)+")")
	p.dropAt(Eval[[2]float64](p, "forTest.middle(document.querySelector("+quote(selector)+"))"), files)
}

// Fill types a text into a field, instead of what is there.
func (p *Page) Fill(role, name, text string) {
	p.t.Helper()
	p.Click(role, name)
	p.Type(text)
}

// Type replaces the text in the field that has the focus.
func (p *Page) Type(text string) {
	p.t.Helper()
	Eval[any](p, "document.activeElement.select?.()")
	p.do("clear", chromedp.KeyEvent(kb.Delete))
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

// Press presses keys, such as kb.Enter.
func (p *Page) Press(keys string) {
	p.t.Helper()
	p.do("press", chromedp.KeyEvent(keys))
}

// Focused is the role and the name of the element that has the focus.
func (p *Page) Focused() string {
	p.t.Helper()
	return Eval[string](p, "forTest.focused()")
}

// TabTo presses Tab, or Shift and Tab, until the element of this role and name has the focus. Every element on the way must be visible,
// and must show that it has the focus.
func (p *Page) TabTo(role, name string) {
	p.t.Helper()
	p.WaitFor(role, name)
	tab := chromedp.KeyEvent(kb.Tab)
	if Eval[bool](p, fmt.Sprintf("forTest.isAbove(%s, %s)", quote(role), quote(name))) {
		tab = chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(chromedp.ModifierShift))
	}
	var way []string
	for range 400 {
		var stop struct {
			Found bool
			Name  string
			Wrong string
		}
		if err := json.Unmarshal([]byte(Eval[string](p, fmt.Sprintf("JSON.stringify(forTest.stop(%s, %s))", quote(role), quote(name)))), &stop); err != nil {
			p.t.Fatal(err)
		}
		if stop.Wrong != "" && len(way) > 0 {
			p.t.Errorf("Tab goes to %s, which %s", stop.Name, stop.Wrong)
		}
		if stop.Found {
			return
		}
		way = append(way, stop.Name)
		p.do("press Tab", tab)
	}
	p.t.Fatalf("Tab never goes to %s %q, but to %q", role, name, slices.Compact(way[:min(40, len(way))]))
}

// Contrast is the texts whose contrast is less than WCAG 2.1 AA asks for: 4.5, or 3 if they are large.
// https://www.w3.org/TR/WCAG21/#contrast-minimum
func (p *Page) Contrast() []string {
	p.t.Helper()
	return Eval[[]string](p, "forTest.contrast()")
}

// Layout is what is wrong with the places of things: the page is wider than its window, a text is outside of the window, texts lie on
// each other, or a control has no name.
func (p *Page) Layout() []string {
	p.t.Helper()
	return Eval[[]string](p, "forTest.layout()")
}

// LongTasks is how long each task took in milliseconds in which the page could not answer, from 50 on, since the last call.
func (p *Page) LongTasks() []float64 {
	p.t.Helper()
	return Eval[[]float64](p, "forTest.longTasks()")
}

// Scroll scrolls through the page and through each list in it, a step for each frame.
func (p *Page) Scroll() {
	p.t.Helper()
	Eval[any](p, "forTest.scroll()")
}

// TimeTo is the milliseconds from a change of the hash to the frame in which there is an element of the selector.
func (p *Page) TimeTo(address, selector string) float64 {
	p.t.Helper()
	return Eval[float64](p, fmt.Sprintf("forTest.timeTo(%s, %s)", quote(address), quote(selector)))
}

// Picture is a picture of what the window shows.
func (p *Page) Picture() []byte {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	return picture
}

// ChooseFile chooses files in the file chooser that the keys or the click of open open.
func (p *Page) ChooseFile(open func(), files ...string) {
	p.t.Helper()
	intercept := true
	call(p, page.SetInterceptFileChooserDialog, page.SetInterceptFileChooserDialogParams{Enabled: intercept})
	open()
	var field cdp.BackendNodeID
	for deadline := time.Now().Add(patience); field == 0; time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		field, p.chosen = p.chosen, 0
		p.mu.Unlock()
		if time.Now().After(deadline) {
			p.t.Fatalf("no file chooser within %s", patience)
		}
	}
	call(p, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: files, BackendNodeID: field})
}

// Downloads has the page save files in a folder from now on, and returns it.
func (p *Page) Downloads() string {
	p.t.Helper()
	dir := p.t.TempDir()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID, DownloadPath: dir}); err != nil {
		p.t.Fatal(err)
	}
	return dir
}

func quote(text string) string {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always have JSON
	}
	return string(quoted)
}
