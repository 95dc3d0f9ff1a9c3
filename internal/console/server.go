package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Options of a console.
type Options struct {
	// Configuration loads the AWS configuration. It is called again after AWS has refused the credentials, because somebody may have refreshed
	// them.
	Configuration func(context.Context) (aws.Config, error)
	StackName     string // the stack that the page shows first; empty for the only one
	Port          int    // 0 for a free one
	// AllowChanges lets the page change stacks that are not on this machine. See readOnly.
	AllowChanges bool
	// Folder is where dead letters are kept that are dropped.
	Folder string
}

// Console is a running console.
type Console struct {
	URL string // without a path

	options   Options
	heartbeat time.Duration
	token     string
	hosts     []string // that a request may be for
	assets    map[string]asset
	stacks    *stacks
	pollers   *pollers
	runs      *runCache
	turns     queueTurns
	server    *http.Server
	ended     chan error
}

const (
	headerTimeout   = 10 * time.Second // to read the header of a request
	idleTimeout     = 2 * time.Minute
	shutdownTimeout = 5 * time.Second // for answers that are on their way when the console ends
	maxHeaderBytes  = 64 << 10        // the arn of 25 runs fit
)

// Start serves a console on the loopback interface, until Close.
func Start(ctx context.Context, options Options) (*Console, error) {
	cfg, err := options.Configuration(ctx)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", options.Port))
	if err != nil {
		return nil, fmt.Errorf("serve the console: %w", err)
	}
	c, err := newConsole(options, cfg, listener.Addr().(*net.TCPAddr).Port)
	if err != nil {
		listener.Close()
		return nil, err
	}
	go func() { c.ended <- c.server.Serve(listener) }()
	return c, nil
}

func newConsole(options Options, cfg aws.Config, port int) (*Console, error) {
	assets, err := readAssets()
	if err != nil {
		return nil, err
	}
	c := &Console{
		URL: fmt.Sprintf("http://127.0.0.1:%d", port), options: options, heartbeat: heartbeat, token: rand.Text(), assets: assets,
		stacks: newStacks(options, cfg), ended: make(chan error, 1),
	}
	for _, name := range []string{"127.0.0.1", "localhost", "[::1]"} {
		c.hosts = append(c.hosts, fmt.Sprintf("%s:%d", name, port))
	}
	c.runs = newRunCache()
	c.pollers = newPollers(c)
	c.server = &http.Server{
		Handler: c.guard(c.routes()), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
	}
	return c, nil
}

// Wait waits until ctx ends. The error says why the console ended before.
func (c *Console) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.ended:
		return fmt.Errorf("serve the console: %w", err)
	}
}

// Close ends the console: its streams at once, and other answers within seconds.
func (c *Console) Close() error {
	c.pollers.close()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	err := c.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = c.server.Close()
	}
	return err
}

func (c *Console) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", c.serveAsset)
	mux.HandleFunc("/api/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, &apiError{http.StatusNotFound, KindNotFound, fmt.Sprintf("there is no %s %s", r.Method, r.URL.Path)})
	})
	read := func(path string, h handler) { mux.Handle("GET "+path, h) }
	change := func(path string, h handler) { mux.Handle("POST "+path, c.changing(h)) }
	read("/api/stacks", c.getStacks)
	read("/api/overview", c.getOverview)
	read("/api/runs", c.getRuns)
	read("/api/run-summaries", c.getRunSummaries)
	read("/api/run", c.getRun)
	read("/api/visits", c.getVisits)
	read("/api/plan", c.getPlan)
	read("/api/dead-letters", c.getDeadLetters)
	mux.HandleFunc("GET /api/stream", c.stream)
	change("/api/start", c.start)
	change("/api/start-file", c.startFile)
	change("/api/retry", c.retry)
	change("/api/stop", c.stop)
	change("/api/redrive", c.redrive)
	change("/api/dead-letters/redrive", c.redriveDeadLetters)
	change("/api/dead-letters/drop", c.dropDeadLetters)
	change("/api/dead-letters/edit", c.editDeadLetter)
	mux.Handle("POST /api/dead-letters/export", handler(c.exportDeadLetters)) // which changes nothing
	return mux
}
