package localaws

import (
	"encoding/json"
	"net/http"
)

// writeError answers as the AWS REST and JSON protocols do.
func writeError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", code)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": code, "Type": "User", "Message": message, "message": message})
}
