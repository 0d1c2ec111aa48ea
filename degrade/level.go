package degrade

// Level says how much is given up.
type Level uint8

// The levels. What each does is said by its [Step].
const (
	None Level = iota
	Minimal
	Moderate
	Severe
	Emergency
)

const levels = int(Emergency) + 1

var levelNames = [levels]string{"none", "minimal", "moderate", "severe", "emergency"}

// String returns the level's name.
func (l Level) String() string {
	if int(l) < levels {
		return levelNames[l]
	}
	return "unknown"
}
