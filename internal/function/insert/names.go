package insert

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strings"

	"carnation/internal/event"
)

// maxError is the longest name of an error, in bytes. generate-data relies on it.
const maxError = 90

// errorName is a short name for an error, which the answer and the messages have: its code, if it has one. Errors of the AWS SDK do.
func errorName(err error) string {
	var record *event.RecordError
	var coded interface {
		error
		ErrorCode() string
	}
	switch {
	case errors.Is(err, errSimulated):
		return "SimulatedFailure"
	case errors.As(err, &record):
		return "InvalidRecord"
	case errors.As(err, &coded):
		return safeName(coded.ErrorCode())
	case errors.Is(err, errOutOfTime):
		return "DeadlineExceeded"
	case isNetwork(err):
		return "ConnectionError"
	default:
		return "WorkFailed"
	}
}

// isNetwork tells whether err comes from the network, in the words of package net or of the AWS SDK.
func isNetwork(err error) bool {
	var network net.Error
	var connection interface {
		error
		ConnectionError() bool
	}
	return errors.As(err, &network) || errors.As(err, &connection) && connection.ConnectionError()
}

// errorText is an error for the log. Why a record is bad quotes the record, which must not be in the log.
func errorText(err error) string {
	var record *event.RecordError
	if errors.As(err, &record) {
		return fmt.Sprintf("record %d cannot become an event", record.Position)
	}
	return err.Error()
}

// safeName keeps what can be the name of an error for the state machine: 1 to maxError characters, A-Z a-z 0-9 . _ -
func safeName(code string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r) {
			return r
		}
		return '_'
	}, code)
	return cmp.Or(name[:min(len(name), maxError)], "UnknownError")
}
