// The headers of the tests are compiled as this program's; it does nothing itself.
int main() {}
