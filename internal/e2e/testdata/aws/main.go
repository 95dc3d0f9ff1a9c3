// Command aws stands before the installed aws on the PATH of the tests. It has one of the processes of aws_server.py run its command, and
// ends with that command's exit code. It is a program of its own because the test binary takes ten times as long to start.
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

func main() {
	code, err := forward(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e: aws:", err)
		code = 255
	}
	os.Exit(code)
}

// forward passes the arguments, the environment and the files of this process on, and returns the exit code.
func forward(arguments []string) (int, error) {
	connection, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: os.Getenv("CARNATION_E2E_AWS_SOCKET"), Net: "unix"})
	if err != nil {
		return 0, err
	}
	defer connection.Close()
	folder, err := os.Getwd()
	if err != nil {
		return 0, err
	}
	environment := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		environment[name] = value
	}
	request, err := json.Marshal(map[string]any{"arguments": arguments, "environment": environment, "folder": folder})
	if err != nil {
		return 0, err
	}
	message := append(binary.BigEndian.AppendUint32(nil, uint32(len(request))), request...)
	sent, _, err := connection.WriteMsgUnix(message, syscall.UnixRights(0, 1, 2), nil)
	if err != nil {
		return 0, err
	}
	// Not a write of nothing: it fails if the command has ended already.
	if sent < len(message) {
		if _, err := connection.Write(message[sent:]); err != nil {
			return 0, err
		}
	}
	var code [1]byte
	if _, err := connection.Read(code[:]); err != nil {
		return 0, fmt.Errorf("aws ended early: %w", err)
	}
	return int(code[0]), nil
}
