package environment

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestReserveLeavesTheGivenTimeOrAThird(t *testing.T) {
	for _, tc := range []struct{ left, want time.Duration }{
		{15 * time.Minute, 15*time.Minute - 5*time.Second},
		{16 * time.Second, 11 * time.Second},
		{15 * time.Second, 10 * time.Second},
		{9 * time.Second, 6 * time.Second},
		{3 * time.Millisecond, 2 * time.Millisecond},
		{0, 0},
		{-time.Minute, -time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(tc.left))
			defer cancel()
			reserved, cancel := Reserve(ctx, 5*time.Second)
			defer cancel()
			if deadline, ok := reserved.Deadline(); !ok || time.Until(deadline) != tc.want {
				t.Errorf("Reserve() of %s = %s, want %s", tc.left, time.Until(deadline), tc.want)
			}
		})
	}
}

func TestReserveWithoutADeadlineSetsNone(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	reserved, cancel := Reserve(ctx, 5*time.Second)
	defer cancel()
	if _, ok := reserved.Deadline(); ok || reserved.Err() != nil {
		t.Errorf("Reserve() without a deadline: deadline %t, error %v, want neither", ok, reserved.Err())
	}
	stop()
	if reserved.Err() == nil {
		t.Error("Reserve() goes on after its parent has ended")
	}
}
