package moto

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Preloaded is a process that has loaded moto but serves nothing. The servers that it starts are copies of it, which need
// a tenth of the processor time of others for their start. copies.py is its other half.
type Preloaded struct {
	cmd    *exec.Cmd
	mu     sync.Mutex // one order after the other
	orders *net.UnixConn
	log    *startLog
	ended  chan struct{} // closed once the process has ended, and exit says how
	exit   error
}

// Preload writes the program to a folder and runs it. After Close, only the folder is left.
func Preload(python, dir string, environment []string, stderr io.Writer) (_ *Preloaded, err error) {
	if err := os.CopyFS(dir, program); err != nil {
		return nil, fmt.Errorf("write the moto server: %w", err)
	}
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "orders"), os.NewFile(uintptr(pair[1]), "orders")
	defer ours.Close() // FileConn makes another
	defer theirs.Close()
	orders, err := net.FileConn(ours)
	if err != nil {
		return nil, fmt.Errorf("make a socket: %w", err)
	}
	p := &Preloaded{cmd: command(python, dir, environment, "copies"), orders: orders.(*net.UnixConn), log: &startLog{to: stderr}, ended: make(chan struct{})}
	p.cmd.Stderr = p.log
	p.cmd.ExtraFiles = []*os.File{theirs}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start moto with %s: %w; run: make tools", python, err), orders.Close())
	}
	go func() {
		p.exit = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Start starts a server with more in its environment, and waits until it serves.
func (p *Preloaded) Start(ctx context.Context, environment []string, stderr io.Writer) (*Server, error) {
	var files []*os.File
	closeAll := func(files []*os.File) {
		for _, f := range files {
			_ = f.Close()
		}
	}
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(files)
			return nil, fmt.Errorf("start moto: %w", err)
		}
		files = append(files, r, w)
	}
	variables := map[string]string{}
	for _, entry := range environment {
		name, value, _ := strings.Cut(entry, "=")
		variables[name] = value
	}
	order, err := json.Marshal(map[string]any{"environment": variables})
	if err != nil {
		closeAll(files)
		return nil, fmt.Errorf("start moto: %w", err)
	}
	theirs, stdin, stdout, output := []*os.File{files[0], files[3], files[5]}, files[1], files[2], files[4]
	p.mu.Lock()
	_, _, err = p.orders.WriteMsgUnix(append(order, '\n'), syscall.UnixRights(int(theirs[0].Fd()), int(theirs[1].Fd()), int(theirs[2].Fd())), nil)
	p.mu.Unlock()
	closeAll(theirs) // or nothing would tell here that the server has ended
	if err != nil {
		closeAll([]*os.File{stdin, stdout, output})
		return nil, p.failed(err)
	}
	log := &startLog{to: stderr}
	said := make(chan struct{})
	go func() {
		_, _ = io.Copy(log, output)
		_ = output.Close()
		close(said)
	}()
	s := &Server{stdin: stdin}
	if err := s.await(ctx, stdout, log, func() { _ = stdout.Close(); <-said }); err != nil {
		return nil, p.failed(err)
	}
	return s, nil
}

// Call calls an operation of the process's own AWS, by the names of boto3, and reads its answer into the value that answer points to,
// unless that is nil. What the call makes is in all servers that start afterwards.
func (p *Preloaded) Call(service, operation string, parameters map[string]any, answer any) error {
	order, err := json.Marshal(map[string]any{"service": service, "operation": operation, "parameters": parameters})
	if err != nil {
		return fmt.Errorf("%s %s: %w", service, operation, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.orders.SetReadDeadline(time.Now().Add(startLimit)); err != nil { // it may still be loading
		return fmt.Errorf("%s %s: %w", service, operation, err)
	}
	if _, err := p.orders.Write(append(order, '\n')); err != nil {
		return p.failed(err)
	}
	var got struct {
		Answer json.RawMessage
		Error  string
	}
	if err := json.NewDecoder(p.orders).Decode(&got); err != nil {
		return p.failed(err)
	}
	if got.Error != "" {
		return errors.New(got.Error)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got.Answer, answer)
}

// failed is an error with what the process has said since it began, which tells why if it has ended.
func (p *Preloaded) failed(err error) error {
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
	}
	if said := p.log.pass(); said != "" {
		err = errors.New(said)
	}
	return fmt.Errorf("start moto with %s: %w", p.cmd.Path, err)
}

// Close ends the process once its servers have ended.
func (p *Preloaded) Close() error {
	err := p.orders.Close()
	<-p.ended
	return errors.Join(err, p.exit)
}
